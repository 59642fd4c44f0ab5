//! The store on both databases.

mod account;
mod transactions;
