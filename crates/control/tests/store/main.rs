//! The store on both databases.

mod account;
mod model;
mod model_effective;
mod runtime;
mod transactions;
