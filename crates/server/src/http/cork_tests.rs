use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::yield_now;

use super::*;

/// A lane whose records can be written or not, with how often they were.
fn lane(recorded: Result<(), Unrecorded>) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let before = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        recorded
    };
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    tokio::spawn(Turn::begin(Arc::new(before)).send());
    count
}

async fn pair(peer: Peer) -> (Corked, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let near = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a connection");
    let (far, _) = listener.accept().await.expect("its other end");
    (Corked::new(near, peer), far)
}

async fn write(line: &mut Corked, bytes: &[u8]) {
    line.write_all(bytes).await.expect("room");
    line.flush().await.expect("nothing failed yet");
}

/// What has come in; empty where nothing has.
fn come(far: &TcpStream) -> Vec<u8> {
    let mut bytes = [0; 64];
    let count = far.try_read(&mut bytes).unwrap_or(0);
    bytes[..count].to_vec()
}

#[tokio::test]
async fn writes_of_a_turn_go_out_together_behind_what_comes_before_them() {
    let count = lane(Ok(()));
    let (mut a, far_a) = pair(Peer::Client).await;
    let (mut b, far_b) = pair(Peer::Upstream).await;
    // The sender has not said yet how many there were in its last turn: a first write never waits.
    write(&mut a, b"first").await;
    assert_eq!(count.load(Ordering::Relaxed), 1);
    write(&mut b, b"second").await;
    far_a.readable().await.expect("what was sent");
    assert_eq!(come(&far_a), b"first");
    yield_now().await;
    far_b.readable().await.expect("what was sent");
    assert_eq!((come(&far_b), count.load(Ordering::Relaxed)), (b"second".to_vec(), 2));
    // The turn had two, so in the next one the first waits, too.
    write(&mut a, b"third").await;
    write(&mut b, b"fourth").await;
    write(&mut a, b" and fifth").await;
    assert_eq!((come(&far_a), come(&far_b), count.load(Ordering::Relaxed)), (Vec::new(), Vec::new(), 2));
    assert!(!format!("{b:?}").contains(&format!("{:?}", b"fourth")), "it may hold a key");
    far_a.readable().await.expect("what was sent");
    far_b.readable().await.expect("what was sent");
    assert_eq!((come(&far_a), come(&far_b)), (b"third and fifth".to_vec(), b"fourth".to_vec()));
    assert_eq!(count.load(Ordering::Relaxed), 3, "once for all");
    assert_eq!(lock(&a.0).waiting.capacity(), 0);
}

#[tokio::test]
async fn long_writes_of_a_turn_go_out_behind_one_record() {
    let count = lane(Ok(()));
    let (mut short, _far_short) = pair(Peer::Client).await;
    write(&mut short, b".").await;
    yield_now().await;
    let long = vec![7; WAITING_BYTES_MAX + 1];
    let (mut a, mut far_a) = pair(Peer::Upstream).await;
    let (mut b, mut far_b) = pair(Peer::Upstream).await;
    // As the only one of its turn it need not wait.
    write(&mut a, &long).await;
    assert_eq!((count.load(Ordering::Relaxed), lock(&a.0).long), (2, Long::Not));
    write(&mut short, b".").await;
    {
        let mut first = std::pin::pin!(write(&mut a, &long));
        let mut second = std::pin::pin!(write(&mut b, &long));
        let is_held = poll_fn(|cx| {
            Poll::Ready(first.as_mut().poll(cx).is_pending() && second.as_mut().poll(cx).is_pending())
        });
        assert!(is_held.await);
        assert_eq!(count.load(Ordering::Relaxed), 2, "nothing was sent yet");
        tokio::join!(first, second);
    }
    // Once at the end of the turn, and asked again by each, for which then there is nothing to write down.
    assert_eq!(count.load(Ordering::Relaxed), 5);
    // A short one in place of a long one that was given up, and what is flushed is sent.
    write(&mut short, b".").await;
    let given_up = poll_fn(|cx| Poll::Ready(Pin::new(&mut a).poll_write(cx, &long).is_pending())).await;
    assert!(given_up && lock(&a.0).long == Long::Waits);
    write(&mut a, b"short").await;
    let mut come = vec![0; 2 * long.len() + 5];
    far_a.read_exact(&mut come).await.expect("all of it");
    assert!(come.ends_with(b"short"));
    far_b.read_exact(&mut come[..long.len()]).await.expect("all of it");
    assert_eq!(lock(&a.0).long, Long::Not);
}

#[tokio::test]
async fn without_a_record_a_client_is_answered_and_an_upstream_not_asked() {
    lane(Err(Unrecorded));
    let (mut client, mut far_client) = pair(Peer::Client).await;
    let (mut upstream, mut far_upstream) = pair(Peer::Upstream).await;
    write(&mut client, b"an answer").await;
    write(&mut upstream, b"a question").await;
    // Told where more is written, or where the answer is waited for.
    yield_now().await;
    let told = poll_fn(|cx| Pin::new(&mut upstream).poll_flush(cx)).await.expect_err("it was not sent");
    assert!(Unrecorded::is_cause_of(&told), "{told}");
    let at_once = upstream.write_all(&[b'?'; WAITING_BYTES_MAX + 1]).await.expect_err("it is long");
    assert!(Unrecorded::is_cause_of(&at_once), "{at_once}");
    let alone = async {
        upstream.write_all(b"?").await?;
        yield_now().await;
        upstream.flush().await?;
        upstream.shutdown().await
    };
    let alone = alone.await.expect_err("it is alone");
    assert!(Unrecorded::is_cause_of(&alone), "{alone}");
    drop((client, upstream));
    let (mut answered, mut asked) = (Vec::new(), Vec::new());
    far_client.read_to_end(&mut answered).await.expect("its end");
    far_upstream.read_to_end(&mut asked).await.expect("its end");
    assert_eq!((answered.as_slice(), asked.as_slice()), (&b"an answer"[..], &b""[..]));
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_who_writes_and_then_gets_all() {
    lane(Ok(()));
    let (mut near, mut far) = pair(Peer::Client).await;
    let (mut other, _far_other) = pair(Peer::Client).await;
    let (mut sent, mut pieces) = (Vec::new(), 0u32);
    let mut is_held_up = false;
    while !is_held_up {
        // Short and long ones, in turns of more than one write.
        let length = [10, 3_000, WAITING_BYTES_MAX, 3 * WAITING_BYTES_MAX][pieces as usize % 4];
        let piece: Vec<u8> =
            (0..length).map(|at| (at as u32).wrapping_mul(pieces).to_le_bytes()[1]).collect();
        pieces += 1;
        write(&mut other, b".").await;
        sent.extend_from_slice(&piece);
        let written = async {
            near.write_all(&piece).await?;
            near.flush().await
        };
        let mut written = std::pin::pin!(written);
        // Whoever would wait is found out by waiting; what was begun is ended while the other end reads.
        let in_time = tokio::time::timeout(std::time::Duration::from_millis(200), written.as_mut()).await;
        if in_time.is_err() {
            is_held_up = true;
            let mut come = vec![0; sent.len()];
            let (ended, read) = tokio::join!(written, far.read_exact(&mut come));
            ended.expect("room again");
            read.expect("all of it");
            assert!(come == sent, "in order");
        }
        assert!(sent.len() < 64 << 20, "it is held up at some time");
    }
}

#[tokio::test]
async fn a_connection_that_ends_sends_what_waits() {
    lane(Ok(()));
    let (mut near, mut far) = pair(Peer::Client).await;
    let (mut other, _far_other) = pair(Peer::Client).await;
    write(&mut other, b".").await;
    write(&mut near, b"the last words").await;
    near.shutdown().await.expect("an end");
    let mut come = Vec::new();
    far.read_to_end(&mut come).await.expect("its end");
    assert_eq!(come, b"the last words");
    // Given up with what waits, without an orderly end.
    let (mut near, mut far) = pair(Peer::Client).await;
    write(&mut other, b".").await;
    write(&mut near, b"the last words").await;
    drop(near);
    let mut come = Vec::new();
    far.read_to_end(&mut come).await.expect("its end");
    assert_eq!(come, b"the last words");
}

/// Says at what count it was dropped.
struct Left(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl Drop for Left {
    fn drop(&mut self) {
        self.1.store(self.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn what_is_left_is_dropped_behind_the_writes_of_its_turn() {
    let count = lane(Ok(()));
    let (mut line, far) = pair(Peer::Client).await;
    let (mut other, _far_other) = pair(Peer::Client).await;
    write(&mut line, b"a").await;
    write(&mut other, b"b").await;
    yield_now().await;
    assert_eq!(count.load(Ordering::Relaxed), 2);
    // The turn had two, so what is written now waits.
    let dropped = Arc::new(AtomicUsize::new(0));
    let left = || Box::new(Left(count.clone(), dropped.clone()));
    drop_later(left());
    write(&mut line, b"n answer").await;
    assert_eq!((count.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed)), (2, 0));
    yield_now().await;
    assert_eq!((count.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed)), (3, 3));
    far.readable().await.expect("what was sent");
    assert_eq!(come(&far), b"an answer");
    // Also where nothing was written.
    dropped.store(0, Ordering::Relaxed);
    drop_later(left());
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    yield_now().await;
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
    // And where its task ends in the turn.
    dropped.store(0, Ordering::Relaxed);
    drop_later(left());
    drop_left();
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_fails_to_be_dropped_holds_nothing_up() {
    struct Defect;
    impl Drop for Defect {
        fn drop(&mut self) {
            panic!("a defect");
        }
    }
    lane(Ok(()));
    let (mut line, far) = pair(Peer::Client).await;
    yield_now().await;
    let left = Arc::new(());
    drop_later(Box::new(Defect));
    drop_later(Box::new(left.clone()));
    yield_now().await;
    assert_eq!(Arc::strong_count(&left), 1);
    for _ in 0..2 {
        write(&mut line, b".").await;
        write(&mut line, b".").await;
        yield_now().await;
    }
    far.readable().await.expect("what was sent");
    assert_eq!(come(&far), b"....");
}

#[tokio::test]
async fn elsewhere_nothing_waits() {
    let (mut near, far) = pair(Peer::Upstream).await;
    assert!(!is_here());
    let left = Arc::new(());
    drop_later(Box::new(left.clone()));
    assert_eq!(Arc::strong_count(&left), 1);
    write(&mut near, b"at once").await;
    assert_eq!(lock(&near.0).waiting.capacity(), 0);
    far.readable().await.expect("what was sent");
    assert_eq!(come(&far), b"at once");
}
