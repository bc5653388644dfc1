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
    /// Where that begins, if not behind the last item: a page may be short, or empty,
    /// because enough was looked at without an index.
    pub cursor: Option<String>,
}

impl<Item> Page<Item> {
    /// A page of at most `limit` from a read of one more than that.
    pub fn from_overread(mut items: Vec<Item>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more, cursor: None }
    }

    /// What was found before enough had been looked at: the next page begins here.
    pub fn up_to(items: Vec<Item>, cursor: String) -> Self {
        Self { items, more: true, cursor: Some(cursor) }
    }

    /// One with nothing on it, and nothing behind it.
    pub fn empty() -> Self {
        Self { items: Vec::new(), more: false, cursor: None }
    }

    /// The same page of other items.
    pub fn try_map<Other, Error>(
        self,
        convert: impl FnMut(Item) -> Result<Other, Error>,
    ) -> Result<Page<Other>, Error> {
        let items = self.items.into_iter().map(convert).collect::<Result<_, _>>()?;
        Ok(Page { items, more: self.more, cursor: self.cursor })
    }
}
