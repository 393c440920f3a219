"""`arke demo`: the whole engine on this machine, watched from event to acknowledgement, with sums that are checked."""
