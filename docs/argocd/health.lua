-- The health of every kind of Multigres, from the conditions in its status.

local function health(status, message)
  return {status = status, message = message}
end

local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "The operator has not looked at this version yet.")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- The first that holds says it: a pause explains everything else, and what is stalled goes no further by itself.
for _, rule in ipairs({
  {"Paused", "True", "Suspended"},
  {"Stalled", "True", "Degraded"},
  {"Reconciling", "True", "Progressing"},
  {"Ready", "True", "Healthy"},
  {"Ready", "False", "Degraded"},
}) do
  local condition = conditions[rule[1]]
  if condition and condition.status == rule[2] then
    return health(rule[3], condition.reason .. ": " .. condition.message)
  end
end

-- Ready is unknown: whether it serves could not be seen yet.
local ready = conditions.Ready or {reason = "Unknown", message = "The status has no conditions."}
return health("Progressing", ready.reason .. ": " .. ready.message)
