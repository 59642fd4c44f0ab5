//! Embeddings: a vector that depends on the text alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::echo::{Asked, tokens};

/// Numbers in a vector, unless the request says how many.
const DIMENSIONS: usize = 8;
/// Most of them.
const DIMENSIONS_MAX: usize = 4_096;

/// `None` where there is no input.
pub(super) fn answer(asked: &Asked<'_>) -> Option<String> {
    let source = asked.input?;
    let inputs = match serde_json::from_str(source.get()).ok()? {
        // Texts, or texts as lists of tokens; a list of numbers is one text.
        Value::Array(items) if items.iter().any(|item| !item.is_number()) => items,
        one @ (Value::String(_) | Value::Array(_)) => vec![one],
        _ => return None,
    };
    let dimensions = asked.dimensions.unwrap_or(DIMENSIONS).min(DIMENSIONS_MAX);
    let is_packed = asked.encoding_format.as_deref() == Some("base64");
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = vector(&input.to_string(), dimensions);
            let embedding = if is_packed {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                STANDARD.encode(bytes).into()
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let used = tokens(source.get().len());
    let usage = json!({"prompt_tokens": used, "total_tokens": used});
    Some(json!({"object": "list", "data": data, "model": asked.model, "usage": usage}).to_string())
}

fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().cycle().take(dimensions).map(|byte| f32::from(*byte) / 128.0 - 1.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> Option<Value> {
        let asked: Asked<'_> = serde_json::from_str(body).expect("a request");
        answer(&asked).map(|body| serde_json::from_str(&body).expect("json"))
    }

    #[test]
    fn each_text_has_its_vector_in_either_encoding() {
        for (input, count) in [(r#""a""#, 1), (r#"["a","b"]"#, 2), ("[1,2]", 1), ("[[1],[2],[3]]", 3)] {
            let told = told(&format!(r#"{{"model":"m","input":{input}}}"#)).expect("vectors");
            assert_eq!(told["data"].as_array().map(Vec::len), Some(count), "{input}");
            assert_eq!(told["data"][0]["embedding"].as_array().map(Vec::len), Some(DIMENSIONS));
            assert_eq!(told["usage"]["prompt_tokens"], input.len().div_ceil(4));
        }
        let one = told(r#"{"model":"m","input":"a","dimensions":2}"#).expect("vectors");
        let packed =
            told(r#"{"model":"m","input":"a","dimensions":2,"encoding_format":"base64"}"#).expect("vectors");
        let bytes =
            STANDARD.decode(packed["data"][0]["embedding"].as_str().expect("a text")).expect("base64");
        let first = f32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        assert_eq!((bytes.len(), Some(f64::from(first))), (8, one["data"][0]["embedding"][0].as_f64()));
        assert_eq!(told(r#"{"model":"m"}"#), None);
        assert_eq!(told(r#"{"model":"m","input":7}"#), None);
    }
}
