-- The board: tasks of one priority, by due date.
-- index: tasks_urgent_idx
-- arguments: SELECT 'open', priority FROM generate_series(1, 5) AS priority
SELECT id, assignee_id, lead_id, title, due_at
FROM tasks
WHERE status = $1 AND priority = $2
ORDER BY due_at
LIMIT 25;
