-- What is left to do for a lead.
-- index: tasks_lead_status_idx
-- arguments: SELECT lead_id, 'done' FROM tasks GROUP BY lead_id ORDER BY count(*) DESC, lead_id LIMIT 100
SELECT id, assignee_id, title, priority, due_at
FROM tasks
WHERE lead_id = $1 AND status = $2
ORDER BY due_at
LIMIT 5;
