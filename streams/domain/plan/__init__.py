"""Rolling-horizon planning of facilities: what every group does in each interval of the hours ahead."""
