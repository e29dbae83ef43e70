#!lua name=parley1
-- SPDX-License-Identifier: MIT
-- What Parley does inside Redis (7 or newer, or Valkey), each function in one atomic step.
--
-- The number. Library and functions carry one. A gateway loads the library when a call says
-- "Function not found", and never replaces one that is there; so any change of the code takes the
-- next number in all names (tests/unit/test_lua.c pins its hash to the number; comments stay here:
-- the build leaves them out of what is sent). Gateways of both numbers then work side by side; keys
-- and payloads stay compatible.
--
-- Rules. Every key is declared. All that can fail (types, arguments, ids) comes before the first
-- write. The log is written before `meta`. No randomness; INFO (6 us) only where fences differ.
-- Offsets are written with %d, because tostring() makes 1e+15 of large numbers.
--
-- fence, epoch. A gateway passes what it read of Redis when it connected (the fence: its run_id,
-- and if it became the master while it ran, the replication id of that) and 64 random bits in hex
-- (the candidate). Where `meta` is missing or was written under another fence, Redis restarted or
-- is another, and may have lost messages: the candidate becomes the room's epoch, and the offset
-- goes on from the newest id of the log that survived. An empty fence checks nothing; an empty
-- candidate is made up from the clock when one is needed.
--
-- Publishing from outside, with an offset, to every gateway (one line; {} are part of the names,
-- twice `general` in the names is the room, the last argument is the chat's data, a JSON object
-- on one line):
--   redis-cli FCALL parley1_publish 2 'parley:room:{general}:log' 'parley:room:{general}:meta'
--     'parley:room:{general}' '' '' 100 3600000 300000
--     1 '{"room":"general","from":"system","text":"Hello","ts":1790000000}'
-- 100 is room.history_size, 3600000 room.history_ttl in ms, 300000 room.dedupe_ttl in ms: as the
-- gateways' settings say, or the room's log is cut by the smaller ones. The 1 before the data says
-- "one message"; for an idempotent publish say 3 keys, the third
-- 'parley:room:{general}:key:6:system:<key>', and one more 1 at the end. The answer is the epoch
-- and the message's offset; for a repeat 0, and then 1, and epoch and offset of the first.
--
-- The log. An entry is a batch, and its `m` the very text that went onto the channel: a head with
-- the offset of the first message, then the data of each on a line of its own. `t` is the time in
-- seconds. The id is the offset of the last message: so a range of messages stands in the entries
-- with ids in that range and in the one behind them, and the log is cut by MINID.
--
-- What costs. Redis' Lua hashes every byte of every string that it makes, 4 cycles each, and a
-- redis.call costs a microsecond. So a batch comes as one text and becomes one other; nothing is
-- done for each message but where there are keys, or for a publisher from outside.

local MAX_OFFSET = 9007199254740990 -- doubles count whole numbers up to 2^53
local META_MARGIN_MS = 3600000
local PROLONG_STEP_S = 60
local NAMES_MAX = 50 -- in one digest
local VERSION_MAX = 4503599627370496 -- 2^52; a register above was not written by a gateway

local function fail(text)
  error({ err = 'ERR parley: ' .. text })
end

local function whole(text, what)
  local n = tonumber(text)
  if not n or n < 0 or n > MAX_OFFSET or n % 1 ~= 0 then
    fail(what .. ' must be a whole number')
  end
  return n
end

local function text_of(n)
  return ('%d'):format(n)
end

-- The highest id that the log ever held, 0 for none. Entries may have been trimmed or deleted;
-- the ids of those to come must still be higher.
local function log_end(log)
  if redis.call('EXISTS', log) == 0 then
    return 0
  end
  local info = redis.call('XINFO', 'STREAM', log)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return whole(string.match(info[i + 1], '^(%d+)%-'), 'the id at the end of the log')
    end
  end
  return 0
end

local function new_epoch(candidate, log)
  if candidate ~= '' then
    return candidate
  end
  local now = redis.call('TIME')
  return string.sub(redis.sha1hex(now[1] .. '.' .. now[2] .. '.' .. log), 1, 16)
end

-- The fence as a gateway would read it now. Gateways that have been connected for long may pass an
-- older one: Redis takes a new replication id when it has been without replicas for an hour.
local function fence_now()
  local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
  local fence = string.match(info, '\nrun_id:(%x+)') or ''
  local before = string.match(info, '\nmaster_replid2:(%x+)')
  local now = string.match(info, '\nmaster_replid:(%x+)')
  if before and now and string.find(before, '[^0]') then
    return fence .. '.' .. now
  end
  return fence
end

-- Where the room is: epoch, offset, and, when the epoch is new (then `meta` is to be written), the
-- fence; then what prolong wrote.
local function position(meta, log, fence, candidate)
  local m = redis.call('HMGET', meta, 'epoch', 'offset', 'fence', 'expiry')
  local offset = tonumber(m[2] or '')
  if m[1] and offset then
    if fence == '' or m[3] == fence then
      return m[1], offset, nil, m[4]
    end
    fence = fence_now()
    if m[3] == fence then
      return m[1], offset, nil, m[4]
    end
  elseif fence == '' then
    fence = fence_now()
  end
  return new_epoch(candidate, log), log_end(log), fence, m[4]
end

-- How long `meta` outlives the last member: longer than anything that refers to it. 0: for ever.
local function meta_ttl(history_ttl, dedupe_ttl)
  if history_ttl == 0 then
    return 0
  end
  return math.max(history_ttl, dedupe_ttl) + META_MARGIN_MS
end

-- `meta` does not expire while the room has members.
local function meta_keep(meta, occupied, ttl)
  if occupied or ttl == 0 then
    redis.call('PERSIST', meta)
  else
    redis.call('PEXPIRE', meta, text_of(ttl))
  end
end

-- Writes a new epoch. A `meta` that was not there may stand for a room without members, so it
-- expires;
-- parley1_room and parley1_presence lift that.
local function renew(meta, epoch, offset, fence, ttl)
  local existed = redis.call('EXISTS', meta) == 1
  redis.call('HSET', meta, 'epoch', epoch, 'offset', text_of(offset), 'fence', fence)
  if not existed then
    meta_keep(meta, false, ttl)
  end
end

local function check_json(data)
  local ok, value = pcall(cjson.decode, data)
  if not ok or type(value) ~= 'table' or string.sub(data, 1, 1) ~= '{' or
      string.find(data, '[%z\1-\31]') then
    fail('data must be a JSON object without control characters')
  end
end

local function lines_of(text)
  local lines = {}
  for line in string.gmatch(text .. '\n', '(.-)\n') do
    lines[#lines + 1] = line
  end
  return lines
end

-- Checks the messages of a publish. Returns how many there are, and, if there are dedupe keys, the
-- key of each that has one by its number.
local function messages_of(keys, args)
  local count, keyed = whole(args[7] or '', 'the number of messages'), nil
  if count == 0 or #args ~= 6 + #keys then
    fail('publish wants 8 arguments, and then a number of a message for each dedupe key')
  end
  for i = 3, #keys do
    local number = whole(args[6 + i], 'the number of a message')
    if number == 0 or number > count then
      fail('messages are numbered from 1')
    end
    keyed = keyed or {}
    keyed[number] = keys[i]
  end
  if args[2] == '' then -- not from a gateway, which has checked what it passes
    local lines = lines_of(args[8])
    if #lines ~= count then
      fail('data must be one line for each message')
    end
    for _, line in ipairs(lines) do
      check_json(line)
    end
  end
  return count, keyed
end

-- Finds the repeats: for the number of each the place of its first, or, when that is in this batch,
-- its number. Returns them and how many there are.
local function repeats_of(keys, keyed, count)
  local repeats, repeated, first = {}, 0, {}
  for i = 3, #keys do
    local epoch, offset = string.match(redis.call('GET', keys[i]) or '', '^(%x+):(%d+)$')
    first[keys[i]] = epoch and { epoch = epoch, offset = tonumber(offset) }
  end
  for number = 1, count do
    local key = keyed[number]
    if key and first[key] then
      repeats[number] = first[key]
      repeated = repeated + 1
    elseif key then
      first[key] = number
    end
  end
  return repeats, repeated
end

local function without(text, repeats)
  local left = {}
  for number, line in ipairs(lines_of(text)) do
    if not repeats[number] then
      left[#left + 1] = line
    end
  end
  return table.concat(left, '\n')
end

-- What goes into the log and onto the channel, and the offset of the last message in it.
local function compose(epoch, offset, fresh, data)
  if offset + fresh > MAX_OFFSET then
    fail('the offset is at its end')
  end
  return 'log ' .. epoch .. ' ' .. text_of(offset + 1) .. '\n' .. data, offset + fresh
end

-- Appends an entry to the log. This is the first write of the call, and tells whether the rest can
-- fail: returns its error, if any, and whether the log is a new one. The log is cut where a quarter
-- of its size is full, which is a third of the cost of XADD otherwise.
local function append(log, offset, last, text, size, seconds)
  local pcall, id, reply = redis.pcall, text_of(last), nil
  if last > size and last % (size / 4) < last - offset then
    reply = pcall('XADD', log, 'NOMKSTREAM', 'MINID', '~', text_of(last - size + 1), id,
      'm', text, 't', seconds)
  else
    reply = pcall('XADD', log, 'NOMKSTREAM', id, 'm', text, 't', seconds)
  end
  local created = reply == false
  if created then
    reply = pcall('XADD', log, id, 'm', text, 't', seconds)
  end
  return type(reply) == 'table' and reply or nil, created
end

-- As meta_keep, where there may be members or none: then `meta` expires already.
local function meta_prolong(meta, ttl)
  if ttl == 0 then
    redis.call('PERSIST', meta)
  else
    redis.call('PEXPIRE', meta, text_of(ttl), 'XX')
  end
end

-- Lets the log live for history_ttl from now on, and `meta` longer. Not at each publish: they get a
-- step more than that, and `expiry` in `meta` says until which second they are sure to live.
-- Returns what `expiry` is to be, or nil when it stands.
local function prolong(log, meta, ttl, dedupe_ttl, now, expiry)
  if ttl == 0 then
    if expiry == '0' then
      return nil
    end
    redis.call('PERSIST', log)
    meta_prolong(meta, 0)
    return '0'
  end
  local step, least = math.min(math.floor(ttl / 8000), PROLONG_STEP_S), math.floor(ttl / 1000)
  local left = (tonumber(expiry or '') or 0) - now
  if left >= least and left <= least + step and step > 0 then
    return nil
  end
  redis.call('PEXPIRE', log, text_of(step > 0 and ttl + (step + 1) * 1000 or ttl))
  meta_prolong(meta, meta_ttl(ttl, dedupe_ttl))
  return text_of(now + least + step)
end

-- The answer, and the dedupe keys of the new messages.
local function answer(keyed, count, repeats, epoch, offset, fresh, ttl)
  local reply = { epoch, fresh > 0 and offset + 1 or 0 }
  local at, offsets, px = offset, {}, text_of(ttl)
  for number = 1, keyed and count or 0 do
    local first = repeats[number]
    if first then
      reply[#reply + 1] = number
      reply[#reply + 1] = type(first) == 'table' and first.epoch or epoch
      reply[#reply + 1] = type(first) == 'table' and first.offset or offsets[first]
    else
      at = at + 1
      offsets[number] = at
      if keyed[number] and ttl > 0 then
        redis.call('SET', keyed[number], epoch .. ':' .. text_of(at), 'PX', px)
      end
    end
  end
  return reply
end

-- `meta` after a publish. The log was written before.
local function advance(meta, last, expiry)
  if expiry then
    redis.call('HSET', meta, 'offset', text_of(last), 'expiry', expiry)
  else
    redis.call('HSET', meta, 'offset', text_of(last))
  end
end

-- parley1_publish: a batch of chats into the log and onto the channel, one order for everybody.
-- KEYS: log, meta, then one dedupe key for each message that has one.
-- ARGV: channel, fence, candidate, history_size (0: no log), history_ttl ms (0: for ever),
-- dedupe_ttl ms, how many messages, their data, a line each; then for each dedupe key the number
--   (from 1) of its message.
-- Reply: epoch; offset of the first new message (0: none is new), the others follow it; then for
-- each repeat its number in the batch (from 1), and epoch and offset of the first.
local function publish(keys, args)
  local log, meta, candidate, data = keys[1], keys[2], args[3], args[8]
  local count, keyed = messages_of(keys, args)
  local size, ttl = whole(args[4], 'history_size'), whole(args[5], 'history_ttl')
  local dedupe_ttl = whole(args[6], 'dedupe_ttl')
  local fresh, repeats, repeated = count, nil, 0
  if keyed then
    repeats, repeated = repeats_of(keys, keyed, count)
  end
  if repeated > 0 then
    fresh, data = count - repeated, without(data, repeats)
  end
  local epoch, offset, fence, expiry = position(meta, log, args[2], candidate)
  local text, last = compose(epoch, offset, fresh, data)
  if fresh == 0 then
    return answer(keyed, count, repeats, epoch, offset, 0, dedupe_ttl)
  end
  if size > 0 then
    local seconds = redis.call('TIME')[1]
    local refused, created = append(log, offset, last, text, size, seconds)
    if refused and not fence and string.find(refused.err, 'equal or smaller', 1, true) then
      -- Somebody put entries into the log: what `meta` says is not the truth any more.
      epoch, offset, fence = new_epoch(candidate, log), log_end(log), fence_now()
      text, last = compose(epoch, offset, fresh, data)
      refused, created = append(log, offset, last, text, size, seconds)
    end
    if refused then
      return refused
    end
    expiry = prolong(log, meta, ttl, dedupe_ttl, tonumber(seconds), not created and expiry)
  else
    expiry = nil
    meta_prolong(meta, meta_ttl(ttl, dedupe_ttl))
  end
  local reply = answer(keyed, count, repeats, epoch, offset, fresh, dedupe_ttl)
  if fence then
    renew(meta, epoch, last, fence, meta_ttl(ttl, dedupe_ttl))
  end
  if expiry or not fence then
    advance(meta, last, expiry)
  end
  redis.call('PUBLISH', args[1], text)
  return reply
end

-- parley1_room: what a gateway must know of a room it begins to follow.
-- KEYS: meta, log, online. ARGV: fence, candidate, history_ttl ms, dedupe_ttl ms.
-- Reply: epoch, offset, registers (gateway, "version:count", …).
local function room(keys, args)
  local ttl = meta_ttl(whole(args[3], 'history_ttl'), whole(args[4], 'dedupe_ttl'))
  local online = redis.call('HGETALL', keys[3])
  local epoch, offset, fence = position(keys[1], keys[2], args[1], args[2])
  if fence then
    renew(keys[1], epoch, offset, fence, ttl)
  end
  if #online > 0 then
    redis.call('PERSIST', keys[1])
  end
  return { epoch, offset, online }
end

-- Entries of the log with messages from `from` to `to`: with at least `count` messages, if there
-- are as many, and not many more.
local function entries(log, from, to, count)
  local rows = redis.call('XRANGE', log, text_of(from), '+', 'COUNT', 1)
  local function more(...)
    for _, row in ipairs(redis.call('XRANGE', log, '(' .. rows[#rows][1], ...)) do
      rows[#rows + 1] = row
    end
    return tonumber(string.match(rows[#rows][1], '^%d+'))
  end
  if rows[1] then
    local last = tonumber(string.match(rows[1][1], '^%d+'))
    local high = math.min(to, last + count)
    last = last < high and more(text_of(high), 'COUNT', text_of(count)) or last
    if last < high then
      more('+', 'COUNT', 1)
    end
  end
  return rows
end

-- parley1_read: messages of the log. Writes nothing: it works in a Redis that refuses writes.
-- KEYS: meta, log.
-- ARGV: fence, history_ttl ms, epoch asked for, from, to, how many at most.
-- Reply: 1 if the room is in that epoch, 0 if it is in another, or begins one with the next
-- parley1_room or parley1_publish; then the texts of the batches that hold these messages, in
-- order, with what else is in them; none older than history_ttl.
local function read(keys, args)
  local ttl = whole(args[2], 'history_ttl')
  local from, to, count = whole(args[4], 'from'), whole(args[5], 'to'), whole(args[6], 'the count')
  local epoch, _, fence = position(keys[1], keys[2], args[1], 'none')
  local rows = {}
  if epoch ~= args[3] or fence then
    return { 0 }
  end
  if from <= to and count > 0 then
    rows = entries(keys[2], from, to, count)
  end
  local reply, oldest = { 1 }, 0
  if ttl > 0 then
    oldest = tonumber(redis.call('TIME')[1]) - ttl / 1000
  end
  for _, row in ipairs(rows) do
    local fields = {}
    for i = 1, #row[2], 2 do
      fields[row[2][i]] = row[2][i + 1]
    end
    if fields.m and (tonumber(fields.t or '') or oldest) >= oldest then
      reply[#reply + 1] = fields.m
    end
  end
  return reply
end

-- Calls HSET or HDEL with the values in portions: unpack has a limit.
local function in_portions(command, key, values)
  for i = 1, #values, 1000 do
    redis.call(command, key, unpack(values, i, math.min(i + 999, #values)))
  end
end

local function version_of(register)
  local version = tonumber(string.match(register or '', '^(%d+):') or '') or 0
  return version <= VERSION_MAX and version or 0
end

-- parley1_presence: one gateway's register of a room, its members there, and the digest of the
-- change.
-- KEYS: online, members of this gateway, meta.
-- ARGV: channel, gateway, version, count, 1 when the pairs are all members there are, history_ttl
-- ms,
--   dedupe_ttl ms, the digest's lines of names, then pairs of connection and user (empty: it left).
-- Reply: 1; or 0 when the register has this version or a higher one: nothing is done.
local function presence(keys, args)
  local online, members, meta, gateway = keys[1], keys[2], keys[3], args[2]
  local version, count = whole(args[3], 'the version'), whole(args[4], 'the count')
  local ttl = meta_ttl(whole(args[6], 'history_ttl'), whole(args[7], 'dedupe_ttl'))
  local set, gone = {}, {}
  for i = 9, #args, 2 do
    if args[i + 1] == '' then
      gone[#gone + 1] = args[i]
    else
      set[#set + 1] = args[i]
      set[#set + 1] = args[i + 1] or fail('a connection without a user')
    end
  end
  local register = redis.call('HGET', online, gateway)
  redis.call('HLEN', members) -- the types of both, before anything is written
  redis.call('HLEN', meta)
  if version_of(register) >= version then
    return 0
  end
  if count == 0 or args[5] == '1' then
    redis.call('DEL', members)
  end
  if count > 0 then
    in_portions('HDEL', members, gone)
    in_portions('HSET', members, set)
    redis.call('HSET', online, gateway, text_of(version) .. ':' .. text_of(count))
  else
    redis.call('HDEL', online, gateway)
  end
  meta_keep(meta, redis.call('HLEN', online) > 0, ttl)
  local digest = 'pres ' .. gateway .. ' ' .. text_of(version) .. ' ' .. text_of(count)
  if args[8] ~= '' then
    digest = digest .. '\n' .. args[8]
  end
  redis.call('PUBLISH', args[1], digest)
  return 1
end

-- parley1_direct: a message to one user, wherever he is.
-- KEYS: the dedupe key, or none. ARGV: channel, dedupe_ttl ms, the message.
-- Reply: 0 when no gateway has that user (patterns do not count), else 1; a repeat is not passed
-- on again.
local function direct(keys, args)
  local ttl = whole(args[2], 'dedupe_ttl')
  if keys[1] and redis.call('GET', keys[1]) then
    return 1
  end
  if redis.call('PUBSUB', 'NUMSUB', args[1])[2] == 0 then
    return 0
  end
  if keys[1] and ttl > 0 then
    redis.call('SET', keys[1], '1', 'PX', text_of(ttl))
  end
  redis.call('PUBLISH', args[1], args[3])
  return 1
end

-- parley1_sentence: a gateway is declared dead, if its lease is still the one that was judged.
-- KEYS: gateways, reaping. ARGV: gateway, counter. Reply: 1 when it was.
local function sentence(keys, args)
  local counter = redis.call('HGET', keys[1], args[1])
  redis.call('HLEN', keys[2])
  if counter ~= args[2] then
    return 0
  end
  local now = redis.call('TIME')[1]
  redis.call('HSET', keys[2], args[1], now)
  redis.call('HDEL', keys[1], args[1])
  return 1
end

-- parley1_reap: a dead gateway's members leave one room. May be repeated.
-- KEYS: online, members of that gateway, meta. ARGV: channel, gateway, history_ttl ms, dedupe_ttl
-- ms, 1 when its members did not leave (it goes on under another id): then nobody is named.
-- Reply: 1; or 0 when its register was not there.
-- What the other gateways remember may be newer than the register (Redis was rolled back, or lost
-- it). The id never comes back: so the last digest has the highest version, and is always sent.
local function reap(keys, args)
  local online, members, meta, gateway = keys[1], keys[2], keys[3], args[2]
  local ttl = meta_ttl(whole(args[3], 'history_ttl'), whole(args[4], 'dedupe_ttl'))
  local register = redis.call('HGET', online, gateway)
  local users = args[5] == '1' and {} or redis.call('HVALS', members)
  redis.call('HLEN', members)
  redis.call('HLEN', meta)
  redis.call('DEL', members)
  if register then
    local lines = { 'pres ' .. gateway .. ' ' .. text_of(version_of(register) + 1) .. ' 0' }
    for _, user in ipairs(users) do
      if #lines > NAMES_MAX then
        lines[#lines + 1] = '*'
        break
      end
      if not string.find(user, '[%z\1-\31]') then
        lines[#lines + 1] = '-' .. user
      end
    end
    redis.call('HDEL', online, gateway)
    meta_keep(meta, redis.call('HLEN', online) > 0, ttl)
    redis.call('PUBLISH', args[1], table.concat(lines, '\n'))
  end
  redis.call('PUBLISH', args[1], 'pres ' .. gateway .. ' ' .. text_of(VERSION_MAX) .. ' 0')
  return register and 1 or 0
end

-- allow-oom: what frees memory, or is needed to go on with what there is, works in a full Redis
-- too.
local small = { 'allow-oom' }
redis.register_function('parley1_publish', publish)
redis.register_function('parley1_direct', direct)
redis.register_function({ function_name = 'parley1_room', callback = room, flags = small })
redis.register_function({
  function_name = 'parley1_read',
  callback = read,
  flags = { 'no-writes', 'allow-oom' },
})
redis.register_function({ function_name = 'parley1_presence', callback = presence, flags = small })
redis.register_function({ function_name = 'parley1_sentence', callback = sentence, flags = small })
redis.register_function({ function_name = 'parley1_reap', callback = reap, flags = small })
