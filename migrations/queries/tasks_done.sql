-- What a user has got done lately.
-- index: tasks_done_idx
-- arguments: SELECT assignee_id, '2025-12-01 00:00Z' FROM tasks WHERE assignee_id IS NOT NULL GROUP BY assignee_id ORDER BY assignee_id LIMIT 100
SELECT id, lead_id, title, completed_at
FROM tasks
WHERE assignee_id = $1 AND completed_at >= $2
ORDER BY completed_at DESC
LIMIT 10;
