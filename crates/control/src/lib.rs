//! The product: a module per resource with its rules, services and errors; reconciliation; the ledger; sealed
//! secrets; and the store, the only place with SQL.
//!
//! Architecture invariant: nothing here names HTTP, Kubernetes or OpenClaw. Handlers never touch the store, they
//! call a resource's service; only `reconcile` calls a [`driver::Driver`].

pub mod access;
pub mod account;
pub mod audit;
pub mod call_limit;
pub mod capture;
pub mod catalog;
pub mod channel;
pub mod clock;
pub mod command;
pub mod driver;
pub mod entitlement;
pub mod guest;
pub mod id_gen;
mod lease;
pub mod ledger;
pub mod message;
pub mod model;
pub mod object;
pub mod office_site;
pub mod order;
pub mod page;
pub mod policy;
pub mod principal;
pub mod reconcile;
pub mod resource_group;
pub mod retention;
pub mod runtime;
pub mod seal;
pub mod sealing;
pub mod secrets;
pub mod skill;
pub mod store;
pub mod tag;
pub mod tasks;
pub mod user;
pub mod virtual_key;
