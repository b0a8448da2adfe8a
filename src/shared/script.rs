//! The programs that Redis runs for a fleet, each of them atomic.
//!
//! Three hashes in one slot hold the state: the state itself with the open windows, the members, and for each word
//! the place in the order of messages at which it was last opened. All three carry the epoch, so that one that was
//! evicted or flushed is noticed, and the state carries the run id of the server process, so that a restart and a
//! failover are: replication is asynchronous, and a new primary may have lost what the old one has answered.

/// Joins the fleet, or founds it anew if its state is lost.
///
/// `ARGV`: run id, new epoch, id, sign of life, words, format, secret, channel, message, bump, then the windows that
/// are to be recorded: name, record, number of words, words.
/// Returns 0 and an error text, or 1, the place in the order, the state, the members and the words.
pub(super) const JOIN: &str = r"
local S, M, V = KEYS[1], KEYS[2], KEYS[3]
local e = redis.call('HGET', S, 'e')
if not e or redis.call('HGET', S, 'run') ~= ARGV[1] or redis.call('HGET', M, 'e') ~= e
    or redis.call('HGET', V, 'e') ~= e then
  redis.call('DEL', S, M, V)
  e = ARGV[2]
  redis.call('HSET', S, 'e', e, 'run', ARGV[1], 'seq', 0, 'words', ARGV[5], 'format', ARGV[6], 'secret', ARGV[7],
    'caught', 0)
  redis.call('HSET', M, 'e', e)
  redis.call('HSET', V, 'e', e)
end
if redis.call('HGET', S, 'format') ~= ARGV[6] then return {0, 'format', {}, {}, {}} end
if redis.call('HGET', S, 'words') ~= ARGV[5] then return {0, 'words', {}, {}, {}} end
-- One that was delayed on its way must not speak for its sender of now.
local before = redis.call('HGET', M, 'm:' .. ARGV[3])
if before and tonumber(string.match(before, '^%d+')) > tonumber(ARGV[4]) then return {0, 'late', {}, {}, {}} end
local seq = redis.call('HINCRBY', S, 'seq', 1)
redis.call('HSET', M, 'm:' .. ARGV[3], ARGV[4] .. ' ' .. seq)
if ARGV[10] == '1' then redis.call('HSET', V, '0', seq, '1', seq) end
local i = 11
while i <= #ARGV do
  local w = 'w:' .. ARGV[i]
  if redis.call('HEXISTS', S, w) == 0 then redis.call('HSET', S, w, seq .. ' ' .. ARGV[i + 1]) end
  local n = tonumber(ARGV[i + 2])
  for k = 1, n do redis.call('HSET', V, ARGV[i + 2 + k], seq) end
  i = i + 3 + n
end
redis.call('PUBLISH', ARGV[8], seq .. ' ' .. string.gsub(ARGV[9], '@EPOCH@', e))
return {1, tostring(seq), redis.call('HGETALL', S), redis.call('HGETALL', M), redis.call('HGETALL', V)}
";

/// Gives a sign of life, and does what there is to do.
///
/// `ARGV`: epoch, id, sign of life, channel, message (empty: nothing to do), then for each act `o` window, record,
/// number of words, words; `c` window, changed catalog, number of words, words; `b`; `l`; `s`.
/// Returns 0 if the epoch has ended, 1 if the member was expelled, or 2, the place in the order and the members.
pub(super) const STEP: &str = r"
local S, M, V = KEYS[1], KEYS[2], KEYS[3]
local e = ARGV[1]
if redis.call('HGET', S, 'e') ~= e or redis.call('HGET', M, 'e') ~= e or redis.call('HGET', V, 'e') ~= e then
  return {0, 0, {}}
end
local me = 'm:' .. ARGV[2]
local before = redis.call('HGET', M, me)
if not before then return {1, 0, {}} end
if tonumber(string.match(before, '^%d+')) > tonumber(string.match(ARGV[3], '^%d+')) then return {1, 0, {}} end
redis.call('HSET', M, me, ARGV[3])
if ARGV[5] == '' then return {2, tonumber(redis.call('HGET', S, 'seq')), redis.call('HGETALL', M)} end
local seq = redis.call('HINCRBY', S, 'seq', 1)
local i = 6
local function touch(at)
  local n = tonumber(ARGV[at])
  for k = 1, n do redis.call('HSET', V, ARGV[at + k], seq) end
  i = at + n + 1
end
while i <= #ARGV do
  local act = ARGV[i]
  if act == 'o' then
    local w = 'w:' .. ARGV[i + 1]
    local before = redis.call('HGET', S, w)
    local opened = before and string.match(before, '^%d+') or seq
    redis.call('HSET', S, w, opened .. ' ' .. ARGV[i + 2])
    touch(i + 3)
  elseif act == 'c' then
    redis.call('HDEL', S, 'w:' .. ARGV[i + 1])
    if ARGV[i + 2] == '1' then
      redis.call('HSET', S, 'caught', seq)
      redis.call('HSET', V, '0', seq)
    end
    touch(i + 3)
  elseif act == 'b' then
    redis.call('HSET', V, '0', seq, '1', seq)
    i = i + 1
  elseif act == 'l' then
    redis.call('HDEL', M, me)
    i = i + 1
  elseif act == 's' then
    redis.call('HSET', S, 'settled', 1)
    i = i + 1
  else
    return redis.error_reply('unknown act')
  end
end
redis.call('PUBLISH', ARGV[4], seq .. ' ' .. ARGV[5])
return {2, seq, redis.call('HGETALL', M)}
";

/// Removes a member, if it has not given another sign of life.
///
/// `ARGV`: epoch, who, its last sign of life, channel, message. Returns 1 if it is gone now.
pub(super) const EXPEL: &str = r"
local S, M, V = KEYS[1], KEYS[2], KEYS[3]
local e = ARGV[1]
if redis.call('HGET', S, 'e') ~= e or redis.call('HGET', M, 'e') ~= e or redis.call('HGET', V, 'e') ~= e then
  return 0
end
if redis.call('HGET', M, 'm:' .. ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('HDEL', M, 'm:' .. ARGV[2])
local seq = redis.call('HINCRBY', S, 'seq', 1)
redis.call('HSET', V, '0', seq, '1', seq)
redis.call('PUBLISH', ARGV[4], seq .. ' ' .. ARGV[5])
return 1
";
