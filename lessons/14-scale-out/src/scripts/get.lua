-- KEYS: the task. ARGV: the error of a task whose owner is gone. The reader ends such a task:
-- nobody has to sweep.
local task = redis.call('HMGET', KEYS[1], 'status', 'lease')
if not task[1] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if task[1] == 'working' and tonumber(task[2]) < now then
    redis.call('HSET', KEYS[1], 'status', 'failed', 'payload', ARGV[1], 'updated', now)
end
return redis.call('HMGET', KEYS[1], 'status', 'payload', 'created', 'updated', 'refused')
