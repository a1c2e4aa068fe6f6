/** What must happen whole or not at all in Redis. Each is run with EVALSHA by the store. */

/**
 * Takes messages off a queue and keeps them under the ids given, until they are confirmed.
 * KEYS staging, queue, pending. ARGV longest message, most bytes in all, now, ids….
 * Of a message that is too long only both ends are kept. With each the time is kept, as
 * its own may say 'now'. Result: [id, text, size] each.
 */
export const take = `
local longest, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local taken, total = {}, 0
for i = 4, #ARGV do
  local text = redis.call('RPOP', KEYS[1]) or redis.call('RPOP', KEYS[2])
  if not text then break end
  local size = #text
  if size > longest then text = string.sub(text, 1, 4096) .. ' ' .. string.sub(text, -4096) end
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[3] .. ' ' .. text)
  taken[#taken + 1] = { ARGV[i], text, size }
  total = total + #text
  if total >= most then break end
end
return taken`;

/**
 * Remembers a request whose answers are to come.
 * KEYS backlog, index. ARGV now, expires at, limit, uid, life, field, value….
 * Result: 1 remembered, 2 it was before, 0 too many are.
 */
export const track = `
if redis.call('EXISTS', KEYS[1]) == 1 then return 2 end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return 0 end
for i = 6, #ARGV, 512 do
  redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + 511, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[4])
redis.call('EXPIRE', KEYS[2], 4000)
return 1`;

/**
 * Gives a client an answer, each destination's once.
 * KEYS list, backlog. ARGV message, list's length, list's life, counter of the backlog.
 * The counter says how many more answers may come. Without one, always gives.
 * Result: 1 given, 0 not waited for, -1 the list is something else.
 */
export const give = `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'list' and kind ~= 'none' then return -1 end
if ARGV[4] ~= '' then
  local left = tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or '0')
  if left < 1 then return 0 end
  redis.call('HSET', KEYS[2], ARGV[4], left - 1)
end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1`;

/**
 * Gives a service a request and remembers who is to be answered.
 * KEYS queue, record, index, index of the twin. ARGV now, expires at, life, member,
 * message, record, limits: requests, of the twin, messages in the queue, its bytes.
 * Requests whose time is over leave the queue's old end. Result: 'ok' (also where it is there
 * already, as relays deliver at least once), or which limit it was.
 */
export const enqueue = `
local now, life = tonumber(ARGV[1]), tonumber(ARGV[3])
if redis.call('EXISTS', KEYS[2]) == 1 then return 'ok' end
for i = 3, 4 do redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now) end
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[7]) then return 'requests' end
if redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[8]) then return 'twin' end
local function full()
  local count = redis.call('LLEN', KEYS[1])
  if count >= tonumber(ARGV[9]) then return 'messages' end
  if count > 0 and redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0) + #ARGV[5] > tonumber(ARGV[10]) then return 'bytes' end
  return false
end
local tries = full() and 256 or 2
for _ = 1, tries do
  local oldest = redis.call('LINDEX', KEYS[1], -1)
  if not oldest then break end
  local readable, request = pcall(cjson.decode, oldest)
  if not readable or type(request) ~= 'table' or type(request.now) ~= 'number' or type(request.exp) ~= 'number' then break end
  if request.now + request.exp > now then break end
  redis.call('RPOP', KEYS[1])
end
local bound = full()
if bound then return bound end
redis.call('LPUSH', KEYS[1], ARGV[5])
if redis.call('TTL', KEYS[1]) < life then redis.call('EXPIRE', KEYS[1], life) end
redis.call('SET', KEYS[2], ARGV[6], 'EX', life)
for i = 3, 4 do
  redis.call('ZADD', KEYS[i], ARGV[2], ARGV[4])
  redis.call('EXPIRE', KEYS[i], 4000)
end
return 'ok'`;
