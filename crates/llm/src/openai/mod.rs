//! The OpenAI dialect: chat completions, as agents and upstreams of the `openai-completions` kind speak it.

pub mod answer;
pub mod chat;
pub mod error;
pub mod scan;
