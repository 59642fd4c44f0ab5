//! The store on both databases.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic; clippy knows only the functions that are marked as tests"
)]

mod account;
mod audit;
mod deep_pages;
mod guest;
mod ledger;
mod migration;
mod model;
mod model_change;
mod model_effective;
mod model_resource_group;
mod object;
mod plans;
mod reconcile;
mod runtime;
mod skill;
mod system_provider;
mod transactions;
