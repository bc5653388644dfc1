//! Whether this node is held: started so that it takes events and answers, and
//! sends nothing before an operator releases it. It then owns nothing where others
//! could (`plan`), and starts no actor (`engine`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module. Cheap to clone: all clones are of one node.
#[derive(Debug, Clone)]
pub struct Hold(Arc<AtomicBool>);

impl Hold {
    /// Of a node that starts held, or does not.
    pub fn new(is_held: bool) -> Self {
        Self(Arc::new(AtomicBool::new(is_held)))
    }

    /// Whether the node is held now.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Ends it for good. False when it was not held.
    pub fn release(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}
