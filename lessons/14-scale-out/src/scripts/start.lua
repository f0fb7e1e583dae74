-- KEYS: the task. ARGV: its owner, its lease and its life, in milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'status', 'working', 'owner', ARGV[1], 'lease', now + ARGV[2],
    'created', now, 'updated', now)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
