-- What a user has to do next.
-- index: tasks_open_idx
-- arguments: SELECT assignee_id FROM tasks WHERE assignee_id IS NOT NULL GROUP BY assignee_id ORDER BY assignee_id LIMIT 100
SELECT id, lead_id, title, priority, due_at
FROM tasks
WHERE assignee_id = $1 AND status = 'open'
ORDER BY due_at, id
LIMIT 20;
