//! Providers of model groups.

pub(crate) mod create_model_provider_template;
pub(crate) mod get_model_provider_template;
