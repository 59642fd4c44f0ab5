//! What a gateway asks of the owner of the ledger, where that is another process, and how it is reached.
//!
//! Every question can be asked again after a connection was lost: the call's id makes it the same question, and it
//! gets the same answer.

use std::fmt::Debug;

use creel_wire::id::CallId;
use creel_wire::money::Micros;
use creel_wire::price::Usage;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{CallStart, Refusal, UsageSource};

/// A question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    Reserve(CallStart),
    Settle {
        call_id: CallId,
        usage: Usage,
        source: UsageSource,
    },
    Release(CallId),
    /// Gateways until 2026-11-28 asked it before each call.
    Remaining(CallStart),
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The call may begin; this much is held for it.
    Held(Micros),
    Refused(Refusal),
    /// The call is settled, now or before; this was deducted.
    Billed(Micros),
    /// The call is not under way any more and left no entry.
    Released,
    /// What such a call may cost; `None` where nothing limits it.
    Remaining(Option<Micros>),
    /// The call has ended before, in another way; its entries stay as they are.
    Ended,
    /// Ask again, this owner or the next.
    Unavailable,
}

/// A question with its number on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    pub id: u64,
    /// It may have been answered before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    pub ask: Ask,
}

/// An answer with the number of its question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub id: u64,
    pub answer: Answer,
}

/// An authenticated connection to the owner. Either end closes it by dropping its halves.
#[derive(Debug)]
pub struct Line {
    pub asks: mpsc::Sender<Vec<Asked>>,
    /// Unbounded: there is at most an answer for each question.
    pub answers: mpsc::UnboundedReceiver<Vec<Answered>>,
}

/// Why the owner cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// It answers, and does not accept this process or is not who the lease says.
    #[error("it refused: {0}")]
    Refused(String),
    #[error("{0}")]
    Unreachable(String),
}

/// Connects to other processes of the same installation.
pub trait Dial: Debug + Send + Sync + 'static {
    /// Connects to `owner_id` at the address that it has advertised.
    fn dial<'a>(&'a self, address: &'a str, owner_id: &'a str) -> BoxFuture<'a, Result<Line, DialError>>;
}
