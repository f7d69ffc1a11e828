"""Results: experiments that measure, the journal of what is finished, and the snapshots in which it is recorded."""
