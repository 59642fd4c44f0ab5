//! The ledger as whoever makes calls sees it, whichever process owns it.

use std::path::PathBuf;

use creel_wire::id::CallId;
use creel_wire::money::Micros;
use creel_wire::price::Usage;
use tokio::sync::mpsc;

use super::engine::Engine;
use super::member::{Cluster, Member, UnderWay};
use super::remote::{Answered, Asked};
use super::{CallStart, LedgerError, Refusal, UsageSource, Write, serve};
use crate::store::Store;
use crate::tasks::Tasks;

/// Where the journal is kept, and so who else there can be.
#[derive(Debug)]
pub enum Place {
    /// Local files, for SQLite: this process is alone. The directory is made if need be.
    Directory(PathBuf),
    /// The table `ledger_journal`, for PostgreSQL, beside other processes.
    Table(Cluster),
}

/// The ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Alone(Engine),
    Shared(Member),
}

/// Credits held for a call. Ends in [`Ledger::settle`] or [`Ledger::release`]. One that is dropped without either is a
/// defect or a panic: what it holds stays held, and at its deadline counts as spent, labelled `unsettled`.
#[derive(Debug)]
pub struct Reservation {
    call_id: CallId,
    held: Micros,
    ended: bool,
    _under_way: Option<UnderWay>,
}

impl Reservation {
    /// The call it is for.
    pub fn call_id(&self) -> &CallId {
        &self.call_id
    }

    /// What it holds: the cost of the bound, or what remained where that was less.
    pub fn held(&self) -> Micros {
        self.held
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.ended {
            tracing::error!(call.id = %self.call_id, "call {} was neither settled nor released", self.call_id);
        }
    }
}

impl Ledger {
    /// Opens the ledger. With files, this process owns it and first applies what an earlier one left. With a table it
    /// returns once there is an owner, be it this process.
    ///
    /// `tasks` should be shut down after whatever makes calls.
    ///
    /// # Errors
    /// If another process has the files or they are damaged; if the owner among several processes cannot be reached.
    pub async fn open(store: Store, tasks: &Tasks, place: Place) -> Result<Self, LedgerError> {
        let kind = match place {
            Place::Directory(directory) => {
                let owner_id = crate::id_gen::random_text(16);
                Kind::Alone(Engine::open_files(store, tasks, directory, &owner_id).await?)
            }
            Place::Table(cluster) => Kind::Shared(Member::join(store, tasks, cluster).await?),
        };
        Ok(Self { kind })
    }

    /// Admits a call and holds the cost of its bound, or what remains where that is less; refuses where nothing does.
    /// Answers once the reservation is in the journal. While no process owns the ledger it waits, some seconds.
    ///
    /// # Errors
    /// The refusal.
    pub async fn reserve(&self, start: CallStart) -> Result<Reservation, Refusal> {
        self.reserve_by(&start, Write::Now).await
    }

    /// As [`Ledger::reserve`], with a choice of who writes the record.
    ///
    /// # Errors
    /// The refusal.
    pub async fn reserve_by(&self, start: &CallStart, write: Write) -> Result<Reservation, Refusal> {
        let call_id = start.call_id.clone();
        let (held, under_way) = match &self.kind {
            Kind::Alone(engine) => (engine.reserve("", start, write).await?, None),
            Kind::Shared(member) => {
                let (held, under_way) = Box::pin(member.reserve(start.clone())).await?;
                (held, Some(under_way))
            }
        };
        Ok(Reservation { call_id, held, ended: false, _under_way: under_way })
    }

    /// What a call like this may still cost: the smaller of quota and packs; `None` where nothing limits it.
    /// A hint: [`Ledger::reserve`] decides. The call's id and bound do not matter.
    ///
    /// # Errors
    /// The refusal, where it is certain.
    pub async fn remaining(&self, start: &CallStart) -> Result<Option<Micros>, Refusal> {
        match &self.kind {
            Kind::Alone(engine) => engine.remaining(start).await,
            Kind::Shared(member) => member.remaining(start).await,
        }
    }

    /// Books what a call used, once, and gives what was deducted: its cost, or as much of it as there was.
    ///
    /// Answers after write() of the journal record (with a table: after its commit).
    ///
    /// # Errors
    /// If the sweeper ended the call before, or the record is not written yet: it is still settled in memory, or kept
    /// for the next owner, and only a crash before that leaves the call `unsettled`.
    pub async fn settle(
        &self,
        reservation: Reservation,
        usage: Usage,
        source: UsageSource,
    ) -> Result<Micros, LedgerError> {
        self.settle_by(reservation, usage, source, Write::Now).await
    }

    /// As [`Ledger::settle`], with a choice of who writes the record.
    ///
    /// # Errors
    /// As there.
    pub async fn settle_by(
        &self,
        mut reservation: Reservation,
        usage: Usage,
        source: UsageSource,
        write: Write,
    ) -> Result<Micros, LedgerError> {
        reservation.ended = true;
        match &self.kind {
            Kind::Alone(engine) => engine.settle(&reservation.call_id, usage, source, write).await,
            Kind::Shared(member) => Box::pin(member.settle(reservation.call_id.clone(), usage, source)).await,
        }
    }

    /// Gives back what is held for a call that used nothing. No entry is written: no credit moved.
    pub async fn release(&self, mut reservation: Reservation) {
        reservation.ended = true;
        match &self.kind {
            // With files this is written before it returns, or said in the log.
            Kind::Alone(engine) => drop(engine.release(&reservation.call_id).await),
            Kind::Shared(member) => Box::pin(member.release(reservation.call_id.clone())).await,
        }
    }

    /// Writes the records that were left to the caller ([`Write::Deferred`]), on any thread.
    ///
    /// # Errors
    /// If they cannot be written: then they wait for the next write, and what they say holds in memory. So `Ok` is said of all
    /// records before.
    pub fn write_deferred(&self) -> Result<(), LedgerError> {
        match &self.kind {
            Kind::Alone(engine) => engine.write_deferred(),
            Kind::Shared(_) => Ok(()),
        }
    }

    /// Waits until all calls that were settled before are rows, and what other processes changed is known. Where
    /// another process owns the ledger there is nothing here to wait for.
    pub async fn flush(&self) {
        let engine = match &self.kind {
            Kind::Alone(engine) => Some(engine.clone()),
            Kind::Shared(member) => member.engine(),
        };
        if let Some(engine) = engine {
            engine.flush().await;
        }
    }

    /// Whether this process owns the ledger now.
    pub fn is_owner(&self) -> bool {
        match &self.kind {
            Kind::Alone(_) => true,
            Kind::Shared(member) => member.engine().is_some(),
        }
    }

    /// Answers what another gateway asks, until the connection ends or this process owns the ledger no more. Returns
    /// at once where it does not.
    pub async fn serve(
        &self,
        replica_id: &str,
        asks: mpsc::Receiver<Vec<Asked>>,
        answers: mpsc::UnboundedSender<Vec<Answered>>,
    ) {
        if let Kind::Shared(member) = &self.kind
            && let Some(engine) = member.engine()
        {
            serve::serve(&engine, replica_id, asks, answers).await;
        }
    }
}
