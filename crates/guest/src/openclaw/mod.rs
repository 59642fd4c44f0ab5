//! The adapter for OpenClaw 2026.9.6: its configuration, its process, its interfaces.

pub(crate) mod config;
pub(crate) mod process;
pub(crate) mod rpc;
pub(crate) mod skills;
mod skills_status;
