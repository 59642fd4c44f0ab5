//! Lanes: threads that each serve their share of a listener's connections from beginning to end.
//!
//! Between the threads of one runtime every wake-up may cross from one to another, and a background task that computes
//! for long holds up calls behind it. A lane is a runtime of one thread: a call with its connection and that of its
//! upstream stay on it. What that is worth, and where it costs: `bench/README.md`.

use std::cell::Cell;
use std::future::Future;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use creel_control::tasks::Tasks;
use futures_util::FutureExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::cork::{self, Before, Turn};

/// Shorter than what calls set timers for.
const TICK: Duration = Duration::from_millis(500);

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
}

/// Which lane this thread is, from one; 0 for a thread that is none.
pub(crate) fn current() -> usize {
    LANE.get()
}

/// How many there are: three for four processors, and one at least. The others are for what calls leave to do, a quarter of
/// their processor time: rows of the ledger and its journal's fdatasync. More threads than processors cost a tenth.
pub(crate) fn count() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    (processors * 3 / 4).max(1)
}

/// A connection for a lane, with what is to be kept until it ends.
type Given<T> = (std::net::TcpStream, T);

/// The lanes of one listener.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    lanes: Vec<UnboundedSender<Given<T>>>,
    next: usize,
}

impl<T: Send + 'static> Lanes<T> {
    /// Starts them. `before` is done before the writes of each turn, see [`super::cork`]. Each connection is served as a
    /// task `name` of `tasks`; when these are told to stop, what runs is finished.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue.
    pub(super) fn start<S, F>(
        tasks: &Tasks,
        before: &Before,
        name: &'static str,
        serve: S,
    ) -> std::io::Result<Self>
    where
        S: Fn(TcpStream, T) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut lanes = Vec::with_capacity(count());
        for number in 1..=count() {
            let (sender, receiver) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (tasks, before, serve) = (tasks.clone(), before.clone(), serve.clone());
            thread::Builder::new().name(format!("lane-{number}")).spawn(move || {
                LANE.set(number);
                runtime.block_on(run(receiver, &tasks, before, name, serve));
            })?;
            lanes.push(sender);
        }
        Ok(Self { lanes, next: 0 })
    }

    /// Gives a connection to the next lane in turn.
    pub(super) fn give(&mut self, stream: TcpStream, with: T) -> std::io::Result<()> {
        // Taken out of this runtime's event queue, into that of the lane.
        let stream = stream.into_std()?;
        self.next = (self.next + 1) % self.lanes.len().max(1);
        match self.lanes.get(self.next).map(|lane| lane.send((stream, with))) {
            Some(Ok(())) => Ok(()),
            _ => Err(std::io::Error::other("the thread that serves connections has ended")),
        }
    }
}

async fn run<T, S, F>(
    mut given: UnboundedReceiver<Given<T>>,
    tasks: &Tasks,
    before: Before,
    name: &'static str,
    serve: S,
) where
    S: Fn(TcpStream, T) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "they end with this thread, after all that sends by it")]
    {
        tokio::spawn(Turn::begin(before).send());
        tokio::spawn(tick());
    }
    let stop = tasks.cancelled();
    while let Some(next) = stop.run_until_cancelled(given.recv()).await {
        // Without a sender the server was dropped in place of being shut down.
        let Some((stream, with)) = next else { return };
        // Only a full event queue refuses it, and then the client sees its connection end.
        if let Ok(stream) = TcpStream::from_std(stream) {
            tasks.spawn(name, serve(stream, with).map(|()| cork::drop_left()));
        }
    }
    drop((given, serve));
    // Tasks that were begun on this thread go on only as long as it does.
    tasks.ended().await;
}

/// Whoever sets a timer that is due before all others wakes the event queue for it, by a write to a file that is then heard of.
/// Where a call is alone its own timers would be such, each of them; next to this one none is.
async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::TcpListener;

    use super::*;

    struct Slow(Arc<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(20));
            assert_eq!(Arc::strong_count(&self.0), 2, "it is looked at");
        }
    }

    #[tokio::test]
    async fn nothing_that_a_connection_left_outlasts_the_tasks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let before: Before = Arc::new(|| Ok(()));
        for _ in 0..3 {
            let (tasks, left) = (Tasks::new(), Arc::new(()));
            let (begun, mut begins) = mpsc::unbounded_channel();
            let serve = move |_stream, left: Arc<()>| {
                let begun = begun.clone();
                async move {
                    begun.send(()).expect("it is waited for");
                    cork::drop_later(Box::new(Slow(left)));
                }
            };
            let mut lanes = Lanes::start(&tasks, &before, "connection", serve).expect("threads");
            let _near = TcpStream::connect(address).await.expect("a connection");
            let (far, _) = listener.accept().await.expect("its other end");
            lanes.give(far, left.clone()).expect("a lane");
            begins.recv().await.expect("it is served");
            assert_eq!(tasks.shutdown(Duration::from_secs(20)).await, 0);
            assert_eq!(Arc::strong_count(&left), 1);
        }
    }
}
