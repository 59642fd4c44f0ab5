//! The API through HTTP, as any client sees it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy knows only the functions that are marked as tests"
)]

mod access;
mod alerts;
mod audit;
mod caller;
mod capture;
mod catalog;
mod channel;
mod cluster;
mod command;
mod command_line;
mod connections;
mod create_desktops;
mod credit;
mod desktops;
mod entitlement;
mod first_start;
mod guest;
mod harness;
mod limits;
mod message;
mod model;
mod model_calls;
mod model_change;
mod object;
mod office_site;
mod order;
mod policy;
mod principal;
mod requests;
mod resource_group;
mod resource_models;
mod retention;
mod skill_fetch;
mod skill_scan;
mod system_provider;
mod tag;
mod temporary;
mod throttling;
mod user;
