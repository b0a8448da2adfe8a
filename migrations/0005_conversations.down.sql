-- Removes dialogues and agents, children first.
DROP TABLE messages;
DROP TABLE conversations;
DROP TABLE agent_configurations;
