//! The story, told with a world and an agent.
