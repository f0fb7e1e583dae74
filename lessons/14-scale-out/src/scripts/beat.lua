-- KEYS: the task. ARGV: who works on it, and the lease. 0: it is not yours, 1: go on, 2: cancelled.
local task = redis.call('HMGET', KEYS[1], 'status', 'owner', 'cancel')
if task[1] ~= 'working' or task[2] ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'lease', now + ARGV[2])
return task[3] and 2 or 1
