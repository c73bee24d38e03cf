"""What a run or a sweep will find and cost, seen before it begins."""
