//! Any body as a request of any dialect for any upstream: nothing panics, what passes keeps its bytes, and what is
//! converted can be read there.
#![no_main]

use creel_llm::dialect::Dialect;
use creel_llm::request::{OutputField, Request, Rewrite};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else { return };
    let dialect = Dialect::ALL[usize::from(*first) % Dialect::ALL.len()];
    let Ok(request) = Request::read(dialect, body) else { return };
    let limit = (first & 0x80 != 0).then_some(2_000);
    let rewrite = Rewrite { model: "m", output_tokens_max: limit, output_field: OutputField::MaxTokens };
    for upstream in Dialect::ALL {
        let Ok(sent) = request.for_upstream(body, upstream, &rewrite) else { continue };
        let there = sent.body.as_deref().unwrap_or(body);
        // Only the outermost object was checked; what lies deeper may be no JSON, which the upstream then says.
        let read = Request::read(upstream, there).expect("a request there");
        assert_eq!((read.model(), read.stream()), ("m", request.stream()));
        assert!(limit.is_none() || !upstream.has_output() || read.output_tokens_max() <= limit);
    }
});
