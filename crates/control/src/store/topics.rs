//! Change signals between parts of one process, and through the database between processes.
//!
//! A signal is a hint: every consumer also looks by itself at intervals, so a lost one costs time, never truth.

use std::sync::Arc;

use tokio::sync::watch;

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The reconcile queue has work.
    Reconcile,
    /// What the gateway looks up: virtual keys, model groups, providers, models, prices.
    Directory,
    /// An invocation waits for its guest, or a guest's desired state has changed.
    Guest,
    /// Packs or quotas.
    Ledger,
    /// A package waits to be parsed or a version to be scanned.
    Skill,
}

impl Topic {
    /// All topics, in the order of their rows.
    pub const ALL: [Topic; 5] =
        [Topic::Reconcile, Topic::Directory, Topic::Guest, Topic::Ledger, Topic::Skill];

    pub(super) fn name(self) -> &'static str {
        match self {
            Topic::Reconcile => "reconcile",
            Topic::Directory => "directory",
            Topic::Guest => "guest",
            Topic::Ledger => "ledger",
            Topic::Skill => "skill",
        }
    }
}

/// The signals of one process; clones share them.
#[derive(Debug, Clone)]
pub struct Topics {
    reconcile: Arc<watch::Sender<u64>>,
    directory: Arc<watch::Sender<u64>>,
    guest: Arc<watch::Sender<u64>>,
    ledger: Arc<watch::Sender<u64>>,
    skill: Arc<watch::Sender<u64>>,
}

impl Default for Topics {
    fn default() -> Self {
        let sender = || Arc::new(watch::Sender::new(0));
        Self { reconcile: sender(), directory: sender(), guest: sender(), ledger: sender(), skill: sender() }
    }
}

impl Topics {
    fn sender(&self, topic: Topic) -> &watch::Sender<u64> {
        match topic {
            Topic::Reconcile => &self.reconcile,
            Topic::Directory => &self.directory,
            Topic::Guest => &self.guest,
            Topic::Ledger => &self.ledger,
            Topic::Skill => &self.skill,
        }
    }

    /// Tells everyone who subscribed in this process.
    pub fn raise(&self, topic: Topic) {
        self.sender(topic).send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Sees every raise after this call (several may be seen as one).
    pub fn subscribe(&self, topic: Topic) -> watch::Receiver<u64> {
        self.sender(topic).subscribe()
    }
}
