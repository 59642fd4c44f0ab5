//! Any query and form, read as the inputs that have the most kinds of parameters.
#![no_main]

use creel_wire::ops::{credit, message, model, model_group, runtime};
use creel_wire::params::Params;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &[u8])| {
    let Ok(params) = Params::decode(data.0, data.1) else { return };
    let _ = runtime::create_desktops::Input::decode(&params);
    let _ = runtime::describe_desktops::Input::decode(&params);
    let _ = model::batch_create_llm_templates::Input::decode(&params);
    let _ = model_group::list_model_templates::Input::decode(&params);
    let _ = credit::set_agent_credit_quota::Input::decode(&params);
    let _ = message::send_agent_message::Input::decode(&params);
});
