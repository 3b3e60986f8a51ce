"""The profile of a data set, which only step 0 needs."""

from utils.constants import PROFILES, Profile
from utils.run.paths import FoldPaths

# What in a profile says which columns are read.
COLUMNS = ("image_column", "text_column", "text_pair_column", "label_column")


def profile_of(ds: str) -> Profile | None:
    """The entry of PROFILES in utils/constants.py; None where there is none."""
    return PROFILES.get(ds)


def is_from_scratch(ds: str) -> bool:
    """Whether the profile trains without a base model; without a profile nobody knows."""
    profile = profile_of(ds)
    return profile is not None and profile.base_model is None


def step_0_or(paths: FoldPaths, advice: str) -> str:
    """Advice to run step 0 where step 0 knows the data set, else ""."""
    return advice if profile_of(paths.ds) else ""
