//! Any bytes as a stream or a whole answer of any upstream for any client, at once and cut into pieces: nothing
//! panics, and both say the same.
#![no_main]

use bytes::Bytes;
use creel_llm::answer::Answer;
use creel_llm::convert::Naming;
use creel_llm::dialect::Dialect;
use creel_llm::request::Request;
use creel_llm::usage::Usage;
use libfuzzer_sys::fuzz_target;

type Told = Option<(Vec<u8>, Option<Usage>)>;

fn tell(mut answer: Answer, parts: &mut dyn Iterator<Item = &[u8]>) -> Told {
    let mut out = Vec::new();
    for part in parts {
        out.extend(answer.push(Bytes::copy_from_slice(part)).ok()?.now.unwrap_or_default());
    }
    answer.end().ok()?;
    out.extend(answer.waiting().unwrap_or_default());
    Some((out, answer.usage()))
}

fuzz_target!(|data: &[u8]| {
    let [first, cut, body @ ..] = data else { return };
    let client = Dialect::ALL[usize::from(first & 7) % Dialect::ALL.len()];
    let (stream, include_usage) = (first & 8 != 0, first & 16 != 0);
    let asked = format!(r#"{{"model":"m","stream_options":{{"include_usage":{include_usage}}},"stream":{stream}}}"#);
    let asked = Request::read(client, asked.as_bytes()).expect("a request");
    for upstream in Dialect::ALL.into_iter().filter(|upstream| client.converts_to(*upstream)) {
        let answer = || {
            let naming = || Naming { id: "i".into(), created_s: 1, model: "m".into() };
            Answer::new(&asked, upstream, stream, naming)
        };
        let whole = tell(answer(), &mut std::iter::once(body));
        let pieces = tell(answer(), &mut body.chunks(usize::from(*cut).max(1)));
        assert_eq!(whole, pieces);
    }
});
