//! An answer going by: what it used, which of its bytes wait until that is booked, and what it becomes where the
//! client speaks another dialect than the upstream.
//!
//! Streams pass piece by piece; of an event that is cut by the end of a read no more than the event is kept. Only a
//! whole answer that must be converted is gathered, up to [`WHOLE_BYTES_MAX`].

use bytes::{Bytes, BytesMut};

use crate::convert::{self, ConvertError, Naming, ToChat, ToMessages};
use crate::dialect::Dialect;
use crate::error::ErrorBody;
use crate::event::{self, Said};
use crate::request::Request;
use crate::sse::{self, Event, EventTooLong, Splitter};
use crate::tokens::Sample;
use crate::usage::{self, Counts, Usage};
use crate::whole::AnswerScanner;

/// Longest answer that is gathered for its conversion, in bytes.
pub const WHOLE_BYTES_MAX: usize = 32 << 20;

/// Why an answer cannot be followed any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// A stream whose events have no end.
    #[error("the answer cannot be read as a stream")]
    Event(#[from] EventTooLong),
    /// Longer than [`WHOLE_BYTES_MAX`].
    #[error("an answer that must be converted is longer than {WHOLE_BYTES_MAX} bytes")]
    TooLong,
    /// It has no form in the client's dialect.
    #[error("the answer cannot be converted")]
    Convert(#[from] ConvertError),
}

/// What the last bytes of an answer said.
#[derive(Debug, Default)]
pub struct Passed {
    /// To be sent on now.
    pub now: Option<Bytes>,
    /// The stream has said that it is at its end.
    pub done: bool,
}

/// Follows one answer.
#[derive(Debug)]
pub struct Answer {
    client: Dialect,
    way: Way,
    seen: Seen,
}

#[derive(Debug)]
enum Way {
    /// One body. Its last piece waits.
    Whole { scanner: Box<AnswerScanner>, last: Option<Bytes> },
    /// One body for another dialect. All of it waits.
    WholeConverted { gathered: BytesMut, waiting: Option<Bytes>, naming: Naming },
    /// Its last event and what follows wait.
    Stream(Stream),
}

#[derive(Debug)]
struct Stream {
    splitter: Splitter,
    turn: Turn,
    done: bool,
    waiting: BytesMut,
    /// A part of an event has been sent whose rest has not come.
    sent_partly: bool,
}

/// What happens to the events of a stream.
#[derive(Debug)]
enum Turn {
    /// Bytes pass as they come.
    Nothing,
    /// Events that hold only the usage, which the client did not ask for, are kept back; whole events pass.
    HideUsage,
    Chat(ToChat),
    Messages(ToMessages),
}

impl Answer {
    /// The answer to `asked` by an upstream of that dialect; `is_stream` as the upstream's head says. `naming` is called
    /// where the answer must be converted.
    pub fn new(asked: &Request, upstream: Dialect, is_stream: bool, naming: impl FnOnce() -> Naming) -> Self {
        let client = asked.dialect();
        let way = match (is_stream, client == upstream) {
            (false, true) => Way::Whole { scanner: Box::new(AnswerScanner::of(upstream)), last: None },
            (false, false) => {
                Way::WholeConverted { gathered: BytesMut::new(), waiting: None, naming: naming() }
            }
            (true, same) => {
                let turn = match client {
                    _ if same && asked.include_usage() => Turn::Nothing,
                    _ if same => Turn::HideUsage,
                    Dialect::Messages => Turn::Messages(ToMessages::new(naming())),
                    _ => Turn::Chat(ToChat::new(naming(), asked.include_usage())),
                };
                Way::Stream(Stream {
                    splitter: Splitter::new(),
                    turn,
                    done: false,
                    waiting: BytesMut::new(),
                    sent_partly: false,
                })
            }
        };
        let seen = Seen {
            dialect: upstream,
            counts: Counts::default(),
            counted: false,
            sample: Sample::of_answer(),
        };
        Self { client, way, seen }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, chunk: Bytes) -> Result<Passed, AnswerError> {
        match &mut self.way {
            Way::Whole { scanner, last } => {
                scanner.push(&chunk);
                self.seen.sample.push_shared(&chunk);
                Ok(Passed { now: last.replace(chunk), done: false })
            }
            Way::WholeConverted { gathered, .. } => {
                if gathered.len() + chunk.len() > WHOLE_BYTES_MAX {
                    return Err(AnswerError::TooLong);
                }
                gathered.extend_from_slice(&chunk);
                Ok(Passed::default())
            }
            Way::Stream(stream) => stream.push(&chunk, &mut self.seen),
        }
    }

    /// The upstream has said all: an event without its blank line counts too. Fails where the answer as a whole has
    /// no form in the client's dialect.
    pub fn end(&mut self) -> Result<(), AnswerError> {
        match &mut self.way {
            Way::Whole { .. } => Ok(()),
            Way::WholeConverted { gathered, waiting, naming } => {
                let body = gathered.split();
                self.seen.whole(&body);
                *waiting = Some(convert::answer(self.seen.dialect, &body, self.seen.usage(), naming)?.into());
                Ok(())
            }
            Way::Stream(stream) => stream.end(&mut self.seen),
        }
    }

    /// What waited, once it may go.
    pub fn waiting(&mut self) -> Option<Bytes> {
        match &mut self.way {
            Way::Whole { last, .. } => last.take(),
            Way::WholeConverted { waiting, .. } => waiting.take(),
            Way::Stream(stream) => (!stream.waiting.is_empty()).then(|| stream.waiting.split().freeze()),
        }
    }

    /// The usage that the upstream reported, once the output is in it.
    pub fn usage(&self) -> Option<Usage> {
        match &self.way {
            // Counting is free.
            _ if self.seen.dialect == Dialect::CountTokens => Some(Usage::default()),
            Way::Whole { scanner, .. } => scanner.usage(),
            Way::WholeConverted { .. } | Way::Stream(_) => self.seen.usage(),
        }
    }

    /// What an estimate is made of, for an upstream that reported no usage. Takes it out of an answer that has ended.
    pub fn estimate(&mut self) -> Estimate {
        Estimate {
            answer: std::mem::take(&mut self.seen.sample),
            told: self.seen.counts.usage(self.seen.dialect),
        }
    }

    /// An event of our own may be added to what was sent.
    pub fn is_between_events(&self) -> bool {
        match &self.way {
            Way::Whole { .. } | Way::WholeConverted { .. } => false,
            Way::Stream(stream) => !stream.sent_partly,
        }
    }

    /// An event for the client that says why its stream has no good end.
    pub fn error_event(&self, status: u16, error: &ErrorBody<'_>) -> Bytes {
        error.event(self.client, status).into()
    }
}

/// What is known of an answer whose usage was not reported.
#[derive(Debug)]
pub struct Estimate {
    answer: Sample,
    told: Usage,
}

impl Estimate {
    /// The usage as a tokenizer sees it, never above `bound`; input that was reported is believed. Costs milliseconds,
    /// and 70 and some memory on its first use.
    pub fn usage(&self, model: &str, request: &Sample, bound: &Usage) -> Usage {
        let guess = usage::estimate_by_tokens(model, request, &self.answer, bound);
        let told = self.told;
        if told.input_total() == 0 { guess } else { Usage { output: guess.output.max(told.output), ..told } }
    }
}

/// What was learned of an answer.
#[derive(Debug)]
struct Seen {
    dialect: Dialect,
    counts: Counts,
    /// The counts include the output.
    counted: bool,
    sample: Sample,
}

impl Seen {
    fn event(&mut self, data: &[u8]) -> Said {
        let said = event::read(self.dialect, data);
        if let Some(counts) = said.counts {
            self.counts = self.counts.then(counts);
            self.counted |= said.counts_output;
        }
        if said.has_text {
            self.sample.push(data);
        }
        said
    }

    fn whole(&mut self, body: &[u8]) {
        if let Some(counts) = usage::counts_within(self.dialect, body, "") {
            (self.counts, self.counted) = (counts, true);
        }
        self.sample.push(body);
    }

    fn usage(&self) -> Option<Usage> {
        self.counted.then(|| self.counts.usage(self.dialect))
    }
}

impl Stream {
    fn push(&mut self, chunk: &Bytes, seen: &mut Seen) -> Result<Passed, AnswerError> {
        match &self.turn {
            Turn::Chat(_) | Turn::Messages(_) if self.done => Ok(Passed { now: None, done: true }),
            Turn::Chat(_) | Turn::Messages(_) => self.convert(chunk, seen),
            Turn::Nothing | Turn::HideUsage if self.done => {
                self.waiting.extend_from_slice(chunk);
                Ok(Passed { now: None, done: true })
            }
            Turn::Nothing => self.pass(chunk, seen),
            Turn::HideUsage => self.hide(chunk, seen),
        }
    }

    /// How much of the chunk is seen to at once: events with nothing but what the model wrote.
    fn skip(&self, chunk: &Bytes, seen: &mut Seen) -> usize {
        if seen.dialect != Dialect::Chat || !self.splitter.is_between_events() {
            return 0;
        }
        let quiet = usage::quiet_bytes(chunk);
        if quiet > 0 {
            seen.sample.push_shared(&chunk.slice(..quiet));
        }
        quiet
    }

    fn pass(&mut self, chunk: &Bytes, seen: &mut Seen) -> Result<Passed, AnswerError> {
        // Up to here the chunk may be sent.
        let mut until = chunk.len();
        let skipped = self.skip(chunk, seen);
        let done = &mut self.done;
        self.splitter.push(chunk.get(skipped..).unwrap_or_default(), |event| {
            let Some(data) = event.data.as_deref().filter(|_| !*done) else { return };
            if seen.event(data).last {
                *done = true;
                until = skipped + event.start;
            }
        })?;
        if self.done {
            self.waiting.extend_from_slice(chunk.get(until..).unwrap_or_default());
        }
        self.sent_partly = !self.done && !self.splitter.rest().is_empty();
        let now = (until > 0).then(|| chunk.slice(..until));
        Ok(Passed { now, done: self.done })
    }

    fn hide(&mut self, chunk: &Bytes, seen: &mut Seen) -> Result<Passed, AnswerError> {
        let skipped = self.skip(chunk, seen);
        let (done, waiting) = (&mut self.done, &mut self.waiting);
        let (mut kept, mut run) = (Kept::default(), 0..skipped);
        self.splitter.push(chunk.get(skipped..).unwrap_or_default(), |event| {
            let event = Event { start: skipped + event.start, end: skipped + event.end, ..event };
            if !*done {
                let said = event.data.as_deref().map(|data| seen.event(data)).unwrap_or_default();
                *done = said.last;
                if said.hidden {
                    return;
                }
            }
            if *done {
                waiting.extend_from_slice(event.raw);
            } else {
                kept.keep(chunk, &event, &mut run);
            }
        })?;
        kept.lend(chunk, &run);
        if self.done {
            // Bytes that follow are not looked at any more, so this is their place.
            self.waiting.extend_from_slice(&self.splitter.take_rest());
        }
        Ok(Passed { now: kept.finish(), done: self.done })
    }

    fn convert(&mut self, chunk: &Bytes, seen: &mut Seen) -> Result<Passed, AnswerError> {
        let (done, turn, waiting) = (&mut self.done, &mut self.turn, &mut self.waiting);
        let (mut out, mut failed) = (Vec::new(), None);
        self.splitter.push(chunk, |event| {
            let Some(data) = event.data.as_deref().filter(|_| !*done && failed.is_none()) else { return };
            let said = seen.event(data);
            *done = said.last;
            let from = out.len();
            failed = turn.event(data, seen.usage(), &mut out).err();
            if said.last {
                waiting.extend_from_slice(out.get(from..).unwrap_or_default());
                out.truncate(from);
            }
        })?;
        if let Some(cause) = failed {
            return Err(cause.into());
        }
        Ok(Passed { now: (!out.is_empty()).then(|| out.into()), done: self.done })
    }

    fn end(&mut self, seen: &mut Seen) -> Result<(), AnswerError> {
        let rest = self.splitter.rest();
        let data = sse::data_of(rest).filter(|_| !self.done);
        let said = data.as_deref().map(|data| seen.event(data)).unwrap_or_default();
        match &mut self.turn {
            Turn::Nothing => {}
            Turn::HideUsage if said.hidden => {}
            Turn::HideUsage => self.waiting.extend_from_slice(rest),
            turn @ (Turn::Chat(_) | Turn::Messages(_)) => {
                let mut out = Vec::new();
                if let Some(data) = &data {
                    turn.event(data, seen.usage(), &mut out)?;
                }
                if let Turn::Messages(to) = turn {
                    to.end(seen.usage(), &mut out);
                }
                self.waiting.extend_from_slice(&out);
            }
        }
        Ok(())
    }
}

impl Turn {
    /// Appends what an event becomes; for those that convert.
    fn event(&mut self, data: &[u8], usage: Option<Usage>, out: &mut Vec<u8>) -> Result<(), ConvertError> {
        let json = || serde_json::from_slice(data).map_err(|_| ConvertError::Json);
        match self {
            Self::Nothing | Self::HideUsage => {}
            Self::Chat(to) => to.event(&event::type_of(data), &json()?, usage, out),
            Self::Messages(to) if data == b"[DONE]" => to.end(usage, out),
            Self::Messages(to) => to.chunk(json()?, out)?,
        }
        Ok(())
    }
}

/// The events of one chunk that are sent on: lent from it where they follow each other, else copied together.
#[derive(Default)]
struct Kept {
    one: Option<Bytes>,
    many: BytesMut,
}

impl Kept {
    /// Adds an event; `run` are the last ones that stand side by side in the chunk.
    fn keep(&mut self, chunk: &Bytes, event: &Event<'_>, run: &mut std::ops::Range<usize>) {
        if event.raw.len() > event.end - event.start {
            self.copy(event.raw);
        } else if run.end == event.start {
            run.end = event.end;
        } else {
            self.lend(chunk, run);
            *run = event.start..event.end;
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens;

    fn answer(client: Dialect, upstream: Dialect, stream: bool) -> Answer {
        let asked = Request::read(client, br#"{"model":"m","stream":true}"#).expect("a request");
        let naming = || Naming { id: "i".into(), created_s: 1, model: "m".into() };
        Answer::new(&asked, upstream, stream, naming)
    }

    fn delta(delta: &str) -> String {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n")
    }

    const BOUND: Usage = Usage { input: 1_000, cached_input: 0, cache_write: 0, output: 100, reasoning: 0 };

    #[test]
    fn what_was_not_reported_is_counted_with_a_tokenizer() {
        let text = "Once upon a time there was a gateway.";
        let request = Sample::of_request(&Bytes::from_static(b"Tell me a story."));
        let expect = Usage {
            input: tokens::count("m", "Tell me a story."),
            output: tokens::count("m", text),
            ..Usage::default()
        };
        let whole = format!(r#"{{"choices":[{{"message":{{"content":"{text}"}}}}]}}"#);
        for (stream, body) in [(true, delta(&format!(r#"{{"content":"{text}"}}"#))), (false, whole)] {
            let mut answer = answer(Dialect::Chat, Dialect::Chat, stream);
            answer.push(body.into()).expect("an answer");
            answer.end().expect("an answer");
            assert_eq!(answer.usage(), None);
            let estimate = answer.estimate();
            assert_eq!(estimate.usage("m", &request, &BOUND), expect);
            let small = Usage { input: 2, output: 3, ..Usage::default() };
            assert_eq!(estimate.usage("m", &request, &small), small, "never above the bound");
        }
    }

    #[test]
    fn input_that_was_reported_before_a_break_is_believed() {
        let mut answer = answer(Dialect::Messages, Dialect::Messages, true);
        let start = r#"data: {"type":"message_start","message":{"usage":{"input_tokens":7,"cache_read_input_tokens":5,"output_tokens":1}}}"#;
        let text = r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Once upon"}}"#;
        answer.push(format!("{start}\n\n{text}\n\n").into()).expect("an answer");
        assert_eq!(answer.usage(), None, "the output is not reported");
        let usage = answer.estimate().usage("m", &Sample::of_request(&Bytes::from_static(b"x")), &BOUND);
        let output = tokens::count("m", "Once upon");
        assert_eq!(usage, Usage { input: 7, cached_input: 5, output, ..Usage::default() });
    }

    #[test]
    fn an_event_of_our_own_stands_between_events_only() {
        for (client, upstream, between) in
            [(Dialect::Messages, Dialect::Messages, false), (Dialect::Messages, Dialect::Chat, true)]
        {
            let mut answer = answer(client, upstream, true);
            answer.push("data: {\"type\":".into()).expect("an answer");
            assert_eq!(answer.is_between_events(), between, "{upstream:?}");
            let body = ErrorBody { message: "m", kind: "server_error", param: None, code: None };
            assert!(answer.error_event(502, &body).starts_with(b"event: error\n"));
        }
    }

    #[test]
    fn what_has_no_form_there_breaks_off() {
        let call = |index: u8, id: &str| {
            delta(&format!(
                r#"{{"tool_calls":[{{"index":{index}{id},"function":{{"name":"f","arguments":"{{"}}}}]}}"#
            ))
        };
        for body in [
            [call(0, r#","id":"a""#), call(1, r#","id":"b""#), call(0, "")].concat(),
            [call(1, r#","id":"a""#), call(0, r#","id":"b""#)].concat(),
            "data: {broken\n\n".into(),
        ] {
            let error = answer(Dialect::Messages, Dialect::Chat, true).push(body.clone().into());
            assert!(matches!(error, Err(AnswerError::Convert(_))), "{body}");
        }
        let body = r#"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}}]}"#;
        let mut whole = answer(Dialect::Messages, Dialect::Chat, false);
        whole.push(body.into()).expect("gathered");
        assert!(matches!(whole.end(), Err(AnswerError::Convert(_))));
    }

    #[test]
    fn an_endless_answer_is_not_gathered() {
        let mut whole = answer(Dialect::Chat, Dialect::Messages, false);
        let half = Bytes::from(vec![b' '; WHOLE_BYTES_MAX / 2]);
        assert!(whole.push(half.clone()).is_ok() && whole.push(half).is_ok());
        assert_eq!(whole.push(" ".into()).err(), Some(AnswerError::TooLong));
    }
}
