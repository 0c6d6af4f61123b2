//! Sources as a whole: files in, drafts and rejects out.
