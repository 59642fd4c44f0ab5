//! The server `creel`: listeners, dispatcher, handlers and command line, as a library so that tests can start it in
//! their own process. The rules of the product are in `creel-control`; here is only what carries them.

mod app;
pub mod cli;
mod cluster;
pub mod config;
pub mod gateway;
mod guest_link;
mod http;
mod llm_access;
mod objects;
mod ops;
mod order_approval;
mod rpc;
pub mod serve;
mod skills;
mod webhook;
