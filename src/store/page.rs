//! Lists come in pages, newest first; a cursor is the last item's id.

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<Id> {
    /// The page begins behind this item; `None` begins at the newest.
    pub after: Option<Id>,
    /// Most items of the page.
    pub limit: usize,
}

/// One part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<Item> {
    /// Newest first.
    pub items: Vec<Item>,
    /// Whether another page follows.
    pub more: bool,
}

impl<Item> Page<Item> {
    /// A page of at most `limit` from a read of one more than that.
    pub fn from_overread(mut items: Vec<Item>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }

    /// The same page of other items.
    pub fn try_map<Other, Error>(
        self,
        convert: impl FnMut(Item) -> Result<Other, Error>,
    ) -> Result<Page<Other>, Error> {
        Ok(Page { items: self.items.into_iter().map(convert).collect::<Result<_, _>>()?, more: self.more })
    }
}
