//! A stream of chunks of a chat completion as a stream of a message, event by event.
//!
//! A message has one open block at a time, a chat completion has none at all: a block ends where another kind of
//! text or another call begins. Upstreams write calls one behind the other; a part of a call that has ended already
//! has no place, and the answer is broken off rather than told wrongly.

use serde_json::{Value, json};

use super::members::{At, ConvertError, Members};
use super::whole::{messages_usage, reasoning_of};
use super::{Naming, stop_reason};
use crate::sse;
use crate::usage::Usage;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    Thinking,
    Text,
    /// Which call of the upstream's it is.
    Call {
        index: u64,
        id: String,
    },
}

/// Between two chunks.
#[derive(Debug)]
pub(crate) struct ToMessages {
    naming: Naming,
    started: bool,
    ended: bool,
    open: Option<Block>,
    /// Blocks that have begun.
    blocks: u64,
    /// The upstream's place of the last call that has begun.
    last_call: Option<u64>,
    finish_reason: Option<String>,
}

impl ToMessages {
    pub(crate) fn new(naming: Naming) -> Self {
        Self {
            naming,
            started: false,
            ended: false,
            open: None,
            blocks: 0,
            last_call: None,
            finish_reason: None,
        }
    }

    /// Takes a chunk and appends what it becomes.
    pub(crate) fn chunk(&mut self, chunk: Value, out: &mut Vec<u8>) -> Result<(), ConvertError> {
        if self.ended {
            return Ok(());
        }
        let mut chunk = At::ROOT.object(chunk)?;
        if let Some(error) = chunk.take("error") {
            self.error(&error, out);
            return Ok(());
        }
        self.start(&mut chunk, out)?;
        let at = At::ROOT.member("choices");
        let Some(choice) = chunk.list("choices")?.and_then(|choices| choices.into_iter().next()) else {
            return Ok(());
        };
        let at = at.index(0);
        let mut choice = at.object(choice)?;
        let at = at.member("delta");
        if let Some(delta) = choice.take("delta") {
            self.delta(at.object(delta)?, out)?;
        }
        if let Some(reason) = choice.text("finish_reason")? {
            self.finish_reason = Some(reason);
        }
        Ok(())
    }

    /// `[DONE]`, or the end of a stream that does not say so: ends the message if the model had ended it.
    pub(crate) fn end(&mut self, usage: Option<Usage>, out: &mut Vec<u8>) {
        let Some(finish_reason) = self.finish_reason.take().filter(|_| self.started && !self.ended) else {
            return;
        };
        self.ended = true;
        self.close(out);
        let called = self.last_call.is_some() && finish_reason == "stop";
        let reason = if called { "tool_use" } else { stop_reason(&finish_reason) };
        let delta = json!({"stop_reason": reason, "stop_sequence": null});
        let usage = messages_usage(&usage.unwrap_or_default());
        sse::write_typed(out, &json!({"type": "message_delta", "delta": delta, "usage": usage}));
        sse::write_typed(out, &json!({"type": "message_stop"}));
    }

    fn start(&mut self, chunk: &mut Members<'_>, out: &mut Vec<u8>) -> Result<(), ConvertError> {
        if std::mem::replace(&mut self.started, true) {
            return Ok(());
        }
        for (to, name) in [(&mut self.naming.id, "id"), (&mut self.naming.model, "model")] {
            if let Some(text) = chunk.text(name)?.filter(|text| !text.is_empty()) {
                *to = text;
            }
        }
        // What was used is known at the end, and said there.
        let message = json!({
            "id": self.naming.id, "type": "message", "role": "assistant", "model": self.naming.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 0, "output_tokens": 0},
        });
        sse::write_typed(out, &json!({"type": "message_start", "message": message}));
        Ok(())
    }

    fn delta(&mut self, mut delta: Members<'_>, out: &mut Vec<u8>) -> Result<(), ConvertError> {
        let blocks = delta.list("thinking_blocks")?.unwrap_or_default();
        if let Some(text) = reasoning_of(&mut delta) {
            self.thinking(&text, out);
        }
        for block in blocks {
            self.thinking_block(block, out);
        }
        for name in ["content", "refusal"] {
            if let Some(text) = delta.text(name)?.filter(|text| !text.is_empty()) {
                self.open(Block::Text, || json!({"type": "text", "text": ""}), out);
                self.block_delta(json!({"type": "text_delta", "text": text}), out);
            }
        }
        let at = delta.at.member("tool_calls");
        for (index, call) in delta.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
            let at = at.index(index);
            self.call(at.object(call)?, out)?;
        }
        Ok(())
    }

    fn thinking(&mut self, text: &str, out: &mut Vec<u8>) {
        self.open(Block::Thinking, || json!({"type": "thinking", "thinking": "", "signature": ""}), out);
        self.block_delta(json!({"type": "thinking_delta", "thinking": text}), out);
    }

    /// Its text came as reasoning already; what is new is a signature, which ends the block, or what is hidden.
    fn thinking_block(&mut self, block: Value, out: &mut Vec<u8>) {
        if block.get("type") == Some(&"redacted_thinking".into()) {
            self.close(out);
            let index = self.blocks;
            self.blocks += 1;
            sse::write_typed(
                out,
                &json!({"type": "content_block_start", "index": index, "content_block": block}),
            );
            sse::write_typed(out, &json!({"type": "content_block_stop", "index": index}));
        } else if let Some(signature) =
            block.get("signature").and_then(Value::as_str).filter(|s| !s.is_empty())
        {
            self.open(Block::Thinking, || json!({"type": "thinking", "thinking": "", "signature": ""}), out);
            self.block_delta(json!({"type": "signature_delta", "signature": signature}), out);
            self.close(out);
        }
    }

    fn call(&mut self, mut call: Members<'_>, out: &mut Vec<u8>) -> Result<(), ConvertError> {
        let id = call.text("id")?.filter(|id| !id.is_empty());
        let told = call.take("index").and_then(|index| index.as_u64());
        let at = call.at.member("function");
        let function = call.take("function").unwrap_or_else(|| json!({}));
        let mut function = at.object(function)?;
        let is_open = match &self.open {
            Some(Block::Call { index, id: open_id }) => {
                told.is_none_or(|told| told == *index) && id.as_ref().is_none_or(|id| id == open_id)
            }
            _ => false,
        };
        if !is_open {
            let Some(id) = id else {
                return Err(call.refuse("index", "belongs to a call that has ended"));
            };
            let index = told.unwrap_or_else(|| self.last_call.map_or(0, |last| last + 1));
            if self.last_call.is_some_and(|last| index < last) {
                return Err(call.refuse("index", "belongs to a call that has ended"));
            }
            let name = function.need_text("name")?;
            let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            self.close(out);
            self.last_call = Some(index);
            self.open(Block::Call { index, id }, || block, out);
        }
        if let Some(part) = function.text("arguments")?.filter(|part| !part.is_empty()) {
            self.block_delta(json!({"type": "input_json_delta", "partial_json": part}), out);
        }
        Ok(())
    }

    fn open(&mut self, block: Block, start: impl FnOnce() -> Value, out: &mut Vec<u8>) {
        if self.open.as_ref() == Some(&block) {
            return;
        }
        self.close(out);
        self.open = Some(block);
        let index = self.blocks;
        self.blocks += 1;
        sse::write_typed(
            out,
            &json!({"type": "content_block_start", "index": index, "content_block": start()}),
        );
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            let index = self.blocks.saturating_sub(1);
            sse::write_typed(out, &json!({"type": "content_block_stop", "index": index}));
        }
    }

    fn block_delta(&self, delta: Value, out: &mut Vec<u8>) {
        let index = self.blocks.saturating_sub(1);
        sse::write_typed(out, &json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }

    fn error(&mut self, error: &Value, out: &mut Vec<u8>) {
        self.ended = true;
        let message = error.get("message").and_then(Value::as_str).or_else(|| error.as_str());
        let message = message.unwrap_or("The model provider broke off its answer.");
        let error = json!({"type": "api_error", "message": message});
        sse::write_typed(out, &json!({"type": "error", "error": error}));
    }
}
