//! What must hold, whatever happens: each promise watches what went into the servers and what came out, and nothing else.

mod authorized;
mod complete;
mod drained;
mod ordered;
mod returned;
mod slow;

use std::fmt::Debug;

use crate::model::{Model, Seen};

/// A promise.
pub trait Property: Debug {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// Something was seen. An error says in words how the promise is broken.
    fn see(&mut self, seen: &Seen<'_>, truth: &Model) -> Result<(), String>;

    /// Everything has been in order for so long that nothing is under way any more.
    fn settle(&mut self, _truth: &Model) -> Result<(), String> {
        Ok(())
    }
}

/// All of them.
pub fn all() -> Vec<Box<dyn Property>> {
    vec![
        Box::new(authorized::Authorized),
        Box::new(complete::Complete::default()),
        Box::new(ordered::Ordered::default()),
        Box::new(slow::Slow::default()),
        Box::new(drained::Drained::default()),
        Box::new(returned::Returned::default()),
    ]
}
