"""What the end of a training leaves in its folder, beside its weights."""

import json

from geoset.training.checkpoint import checkpoint_path


def end_run(folder, steps, **told):
    plan = {"stages": [{"steps": steps}]}
    (folder / "run.json").write_text(json.dumps({"plan": plan, **told}))
    checkpoint_path(folder, steps).mkdir(parents=True)
