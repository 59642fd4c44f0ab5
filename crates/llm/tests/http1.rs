//! HTTP/1.1 of upstreams, byte by byte.

#![expect(clippy::expect_used, reason = "helpers of tests may panic too")]

#[path = "support/http1_answer.rs"]
mod answer;

use bytes::{Bytes, BytesMut};
use creel_llm::http1::{BadAnswer, Body, Taken, encode};
use http::{Method, Request};
use proptest::prelude::*;

use answer::{Seen, follow};

fn whole(answer: &str) -> Result<Seen, BadAnswer> {
    follow([answer.as_bytes()], &Method::POST)
}

/// Status, body and whether the connection stays open.
fn told(answer: &str) -> Result<(u16, String, bool), BadAnswer> {
    whole(answer).map(|seen| (seen.status, String::from_utf8(seen.body).expect("text"), seen.stays_open))
}

#[test]
fn the_end_of_a_body_is_told_in_each_of_its_ways() {
    let ok = |status, body: &str, stays_open| Ok((status, body.to_owned(), stays_open));
    for (answer, expect) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ok(200, "ok", true)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ok(200, "", true)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nok", ok(200, "ok", false)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x, close\r\n\r\nok", ok(200, "ok", false)),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", ok(200, "ok", false)),
        ("HTTP/1.1 500 No\r\n\r\nall of it", ok(500, "all of it", false)),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            ok(200, "abcde", true),
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
            ok(200, "0123456789", true),
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n",
            ok(200, "a", true),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            ok(200, "ok", false),
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok", ok(200, "ok", true)),
        ("HTTP/1.1 204 No Content\r\n\r\n", ok(204, "", true)),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            ok(200, "ok", true),
        ),
    ] {
        assert_eq!(told(answer), expect, "{answer}");
    }
    let head_only =
        follow([&b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"[..]], &Method::HEAD).expect("an answer");
    assert_eq!((head_only.body.len(), head_only.stays_open), (0, true));
}

#[test]
fn a_length_beside_chunks_is_not_told_on() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let headers = whole(answer).expect("an answer").headers;
    assert_eq!(headers, [("transfer-encoding".to_owned(), "chunked".to_owned())]);
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for (answer, expect) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nok", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nok", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", BadAnswer::Chunk),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", BadAnswer::Chunk),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n11111111111111111\r\n", BadAnswer::Chunk),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: 1\n\r\n", BadAnswer::Chunk),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", BadAnswer::Head),
        ("HTTP/2 200 OK\r\n\r\n", BadAnswer::Head),
        ("SSH-2.0-x\r\n\r\n", BadAnswer::Head),
        ("HTTP/1.1 200 OK\r\nx y: z\r\n\r\n", BadAnswer::Head),
        ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", BadAnswer::BrokenOff),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", BadAnswer::BrokenOff),
        ("HTTP/1.1 200 OK\r\ncontent-len", BadAnswer::BrokenOff),
    ] {
        assert_eq!(told(answer), Err(expect), "{answer}");
    }
}

#[test]
fn heads_chunk_lines_and_trailers_are_bounded() {
    let long = "x".repeat(70 << 10);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let many: String = (0..101).map(|number| format!("x-{number}: y\r\n")).collect();
    for (answer, expect) in [
        (format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n"), BadAnswer::HeadTooLong),
        (format!("HTTP/1.1 200 OK\r\nx: {long}"), BadAnswer::HeadTooLong),
        (format!("HTTP/1.1 200 OK\r\n{many}\r\n"), BadAnswer::HeadTooLong),
        (format!("{chunked}1;{long}"), BadAnswer::Chunk),
        (format!("{chunked}1;{long}\r\na\r\n0\r\n\r\n"), BadAnswer::Chunk),
        (format!("{chunked}0\r\n{long}"), BadAnswer::Chunk),
        (format!("{chunked}0\r\n{}\r\n", "x: y\r\n".repeat(2_000)), BadAnswer::Chunk),
    ] {
        assert_eq!(told(&answer), Err(expect));
    }
}

#[test]
fn what_stands_behind_an_answer_is_left_and_not_taken_for_it() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n";
    assert_eq!(whole(answer).expect("an answer").rest, 17);
}

#[test]
fn a_request_says_where_it_goes_and_how_long_it_is_and_no_more() {
    let text = |request: Request<()>, length| {
        String::from_utf8(encode(&request.into_parts().0, length, 0).to_vec()).expect("text")
    };
    let request = Request::post("http://user:secret@h:8/p?q=1").header("content-length", "7");
    let request =
        request.header("transfer-encoding", "chunked").header("x-a", "b").body(()).expect("a request");
    assert_eq!(text(request, 2), "POST /p?q=1 HTTP/1.1\r\nhost: h:8\r\nx-a: b\r\ncontent-length: 2\r\n\r\n");
    let request = Request::get("https://h").header("host", "other").body(()).expect("a request");
    assert_eq!(text(request, 0), "GET / HTTP/1.1\r\nhost: other\r\n\r\n");
    let request = Request::put("http://h/p").body(()).expect("a request");
    assert_eq!(text(request, 0), "PUT /p HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
}

/// Answers, sound and otherwise, for properties over all bytes.
const SAMPLES: [&str; 6] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nx-request-id: a\r\n\r\nabcdefghijkl",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nt: u\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Too Many\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.0 200 OK\r\n\r\nuntil the end",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n",
];

proptest! {
    #[test]
    fn how_an_answer_is_cut_makes_no_difference(
        sample in 0..SAMPLES.len(),
        cuts in prop::collection::vec(0..120usize, 0..8),
    ) {
        let bytes = SAMPLES[sample].as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        prop_assert_eq!(follow(pieces, &Method::POST), follow([bytes], &Method::POST));
    }

    #[test]
    fn no_bytes_make_it_panic_or_invent_any(
        sample in 0..SAMPLES.len(),
        changes in prop::collection::vec((0..120usize, any::<u8>()), 0..6),
        tail in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = SAMPLES[sample].as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes.extend(tail);
        if let Ok(seen) = follow([&bytes[..]], &Method::POST) {
            prop_assert!(seen.body.len() + seen.rest <= bytes.len());
        }
    }

    #[test]
    fn a_body_of_a_stated_length_has_it(length in 0..50u64, there in 0..50usize) {
        let (mut read, mut body) = (BytesMut::from(&vec![b'x'; there][..]), Body::Sized(length));
        let mut taken = 0;
        while let Ok(Taken::Data(data)) = body.take(&mut read) {
            taken += Bytes::len(&data);
        }
        prop_assert_eq!(taken, there.min(usize::try_from(length).expect("small")));
        prop_assert_eq!(body.is_at_end(), taken as u64 == length);
    }
}
