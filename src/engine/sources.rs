//! Reading a source: its configuration and what it has sent so far.

use crate::domain::name::record_name;
use crate::engine::request::{Body, Response};
use crate::engine::{Call, Engine, configuration};
use crate::error::Result;
use crate::sources::Source;

/// Reads a source with its counters.
pub async fn read(engine: &Engine, call: Call) -> Result<Response> {
    let name = record_name("name", &call.name)?;
    let mut response = configuration::read::<Source>(engine, call).await?;
    if let Body::Data(data) = &mut response.body {
        data.extend(engine.states.read(&name).await?.wire());
    }
    Ok(response)
}
