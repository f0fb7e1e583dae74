-- KEYS: the task. ARGV: the channel and the bell. 0: there is no such task.
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return 0 end
if status == 'working' then
    local time = redis.call('TIME')
    redis.call('HSET', KEYS[1], 'cancel', 1, 'updated', time[1] * 1000 + math.floor(time[2] / 1000))
    redis.call('PUBLISH', ARGV[1], ARGV[2])
end
return 1
