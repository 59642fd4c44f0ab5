//! Watching an answer go by: what it used, and which of its bytes wait until that is booked.

use bytes::{Bytes, BytesMut};
use creel_llm::openai::answer::AnswerScanner;
use creel_llm::sse::{self, EventTooLong, Splitter};
use creel_llm::usage::{self, Usage};

/// What the last bytes of an answer said.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// To be sent on now.
    pub(crate) now: Option<Bytes>,
    /// The stream has said that it is at its end.
    pub(crate) done: bool,
}

/// Follows one answer.
#[derive(Debug)]
pub(crate) enum Meter {
    /// One body. Its last piece waits.
    Whole { scanner: AnswerScanner, last: Option<Bytes>, bytes: u64 },
    /// A stream. Its `[DONE]` and what follows wait.
    Stream(StreamMeter),
}

/// Follows one stream.
#[derive(Debug)]
pub(crate) struct StreamMeter {
    splitter: Splitter,
    /// The client did not ask for the usage: events that carry nothing else are kept back, so only whole events
    /// are passed on. Otherwise bytes pass as they come.
    hide_usage: bool,
    usage: Option<Usage>,
    events: u64,
    bytes: u64,
    done: bool,
    waiting: BytesMut,
    /// A part of an event has been sent whose rest has not come.
    sent_partly: bool,
}

impl Meter {
    pub(crate) fn whole() -> Self {
        Self::Whole { scanner: AnswerScanner::new(), last: None, bytes: 0 }
    }

    pub(crate) fn stream(hide_usage: bool) -> Self {
        Self::Stream(StreamMeter {
            splitter: Splitter::new(),
            hide_usage,
            usage: None,
            events: 0,
            bytes: 0,
            done: false,
            waiting: BytesMut::new(),
            sent_partly: false,
        })
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Result<Passed, EventTooLong> {
        match self {
            Self::Whole { scanner, last, bytes } => {
                scanner.push(&chunk);
                *bytes += chunk.len() as u64;
                Ok(Passed { now: last.replace(chunk), done: false })
            }
            Self::Stream(stream) => stream.push(&chunk),
        }
    }

    /// The upstream has said all: an event without its blank line counts too.
    pub(crate) fn end(&mut self) {
        let Self::Stream(stream) = self else { return };
        let rest = stream.splitter.rest();
        let found = sse::data_of(rest).and_then(|data| usage::of_chunk(&data));
        if stream.hide_usage && !found.is_some_and(|found| found.alone) {
            stream.waiting.extend_from_slice(rest);
        }
        stream.usage = found.map(|found| found.usage).or(stream.usage);
    }

    /// What waited, once it may go.
    pub(crate) fn waiting(&mut self) -> Option<Bytes> {
        match self {
            Self::Whole { last, .. } => last.take(),
            Self::Stream(stream) => (!stream.waiting.is_empty()).then(|| stream.waiting.split().freeze()),
        }
    }

    /// The usage that the upstream reported so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match self {
            Self::Whole { scanner, .. } => scanner.usage(),
            Self::Stream(stream) => stream.usage,
        }
    }

    /// The usage as it looks from outside, for an upstream that reported none.
    pub(crate) fn estimate(&self, request_bytes: u64, bound: &Usage) -> Usage {
        let (events, bytes) = match self {
            Self::Whole { bytes, .. } => (0, *bytes),
            Self::Stream(stream) => (stream.events, stream.bytes),
        };
        usage::estimate(request_bytes, events, bytes, bound)
    }

    /// An event of our own may be added to what was sent.
    pub(crate) fn is_between_events(&self) -> bool {
        match self {
            Self::Whole { .. } => false,
            Self::Stream(stream) => !stream.sent_partly,
        }
    }
}

impl StreamMeter {
    fn push(&mut self, chunk: &Bytes) -> Result<Passed, EventTooLong> {
        self.bytes += chunk.len() as u64;
        if self.done {
            self.waiting.extend_from_slice(chunk);
            return Ok(Passed { now: None, done: true });
        }
        let (usage, events, done) = (&mut self.usage, &mut self.events, &mut self.done);
        let hide_usage = self.hide_usage;
        // Up to here the chunk may be sent; with `hide_usage` it is collected instead.
        let mut until = chunk.len();
        let (mut kept, mut run) = (Kept::default(), 0..0);
        let waiting = &mut self.waiting;
        self.splitter.push(chunk, |event| {
            let data = event.data.as_deref();
            if *done {
                if hide_usage {
                    waiting.extend_from_slice(event.raw);
                }
                return;
            }
            if data == Some(b"[DONE]") {
                *done = true;
                until = event.start;
                if hide_usage {
                    waiting.extend_from_slice(event.raw);
                }
                return;
            }
            let mut alone = false;
            if let Some(data) = data {
                *events += 1;
                if let Some(found) = usage::of_chunk(data) {
                    *usage = Some(found.usage);
                    alone = found.alone;
                }
            }
            if hide_usage && !alone {
                let here = event.end - event.start;
                if event.raw.len() > here {
                    kept.copy(event.raw);
                } else if run.end == event.start {
                    run.end = event.end;
                } else {
                    kept.lend(chunk, &run);
                    run = event.start..event.end;
                }
            }
        })?;
        if hide_usage {
            kept.lend(chunk, &run);
            return Ok(Passed { now: kept.finish(), done: self.done });
        }
        if self.done {
            self.waiting.extend_from_slice(chunk.get(until..).unwrap_or_default());
        }
        self.sent_partly = !self.done && !self.splitter.rest().is_empty();
        let now = (until > 0).then(|| chunk.slice(..until));
        Ok(Passed { now, done: self.done })
    }
}

/// The events of one chunk that are sent on: lent from it where they follow each other, else copied together.
#[derive(Default)]
struct Kept {
    one: Option<Bytes>,
    many: BytesMut,
}

impl Kept {
    fn lend(&mut self, chunk: &Bytes, run: &std::ops::Range<usize>) {
        if run.is_empty() {
            return;
        }
        if self.one.is_none() && self.many.is_empty() {
            self.one = Some(chunk.slice(run.clone()));
        } else {
            self.copy(chunk.get(run.clone()).unwrap_or_default());
        }
    }

    fn copy(&mut self, raw: &[u8]) {
        if let Some(one) = self.one.take() {
            self.many.extend_from_slice(&one);
        }
        self.many.extend_from_slice(raw);
    }

    fn finish(self) -> Option<Bytes> {
        if self.many.is_empty() { self.one } else { Some(self.many.freeze()) }
    }
}
