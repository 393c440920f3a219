"""`arke demo`: the whole engine on this machine, watched from event to acknowledgement, its sums checked."""
