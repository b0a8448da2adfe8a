-- Removes the log of touches and the tasks.
DROP TABLE tasks;
DROP TABLE communications;
