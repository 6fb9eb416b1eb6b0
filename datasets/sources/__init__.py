"""Where pictures come from: each kind of source yields named pictures, as bytes or as pixels."""

from datasets.sources.drawing import Drawn
from datasets.sources.faces import Faces
from datasets.sources.folders import Folder
from datasets.sources.opening import open_source
from datasets.sources.source import Annotated, FacePoints, Source

__all__ = ["Annotated", "Drawn", "FacePoints", "Faces", "Folder", "Source", "open_source"]
