"""A folder goes in; in it lies, sound, one of everything that commands read. For ``fuzz_inputs.py``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
from fuzz_commands import run
from fuzz_targets import seal_json

CLIPS = 24


def write_seeds(folder: Path) -> None:
    """Everything that a target stands in, made by the commands themselves; the working folder."""
    from vjepa_fer.cache.failures import Failure, write_failures
    from vjepa_fer.cache.folder import copied_cache
    from vjepa_fer.cache.reader import open_cache

    labels, ids = ("happy", "sad", "angry"), [f"c{n}" for n in range(CLIPS)]
    said = [labels[n % 3] for n in range(CLIPS)]
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    lines = [
        f"{i},v/{i}.mp4,{said[n]},s{n // 4},{'fm'[n % 2]},{20 + n},{('train', 'test')[n % 2]},{n % 4},{n % 3},{(n + 1) % 2}"
        for n, i in enumerate([*ids, "absent"] [:CLIPS])
    ]  # fmt: skip
    head = "clip_id,path,label,subject,sex,age,split,votes_happy,votes_sad,votes_angry\n"
    Path("manifest.csv").write_text(head + "\n".join(lines) + "\nabsent,v/absent.mp4,sad,s9,f,30,train,1,1,1\n")
    rng = np.random.default_rng(0)
    values = rng.normal(size=(CLIPS, 4)) + 3 * np.eye(4)[[n % 3 for n in range(CLIPS)]]
    rows = (f"{i},{','.join(f'{x:.4f}' for x in row)}\n" for i, row in zip(ids, values, strict=True))
    Path("features.csv").write_text("clip_id,f0,f1,f2,f3\n" + "".join(rows))
    np.savez("features.npz", clip_id=np.array(ids), X=values, columns=np.array(["f0", "f1", "f2", "f3"]))
    np.save("features.npy", values)
    Path("ids.txt").write_text("\n".join(ids) + "\n")
    shares = ["0.7,0.2,0.1", "0.2,0.6,0.2", "0.25,0.25,0.5"]
    table = (f"{i},{said[n]},{said[n]},{n % 2},s{n // 4},{shares[n % 3]}\n" for n, i in enumerate(ids))
    Path("predictions.csv").write_text(
        "clip_id,true_label,predicted_label,fold,subject,happy,sad,angry\n" + "".join(table)
    )
    Path("confusion.csv").write_text("true_label,happy,sad,angry\nhappy,5,1,0\nsad,0,6,1\nangry,1,1,7\n")
    Path("map.csv").write_text("label,name\nhappy,joy\nsad,sadness\n")
    Path("study.toml").write_text(
        'seed = 1\njson = true\nprobe = "centroid"\nfolds = "subject-kfold:3"\n[param]\nmetric = "cosine"\n'
    )
    run("cache import features.csv cache -m manifest.csv")
    run("probe cache --probe centroid --folds subject-kfold:3 --by sex --out run --refit")
    run("probe cache --probe knn --folds subject-kfold:3 --out run2")
    run("probe cache --probe knn --param k=1,3 --folds subject-kfold:3 --out nested --nested")
    for name in ("run", "run2", "nested"):
        found = next(Path(name).rglob("run.json")).parent
        if found != Path(name):
            found.rename("moved"), shutil.rmtree(name), Path("moved").rename(name)
    shutil.copy("run/folds.json", "folds.json")
    cache = open_cache("cache")
    write_failures(Path("cache"), {"absent": Failure("absent", "v/absent.mp4", "missing", "no such file", "0" * 16)})
    with (
        contextlib.suppress(KeyboardInterrupt),
        copied_cache("begun", cache.recipe, cache.manifest, {}, source=str(folder.parent / "work" / "cache")),
    ):
        raise KeyboardInterrupt
    shutil.copytree("cache", "cache1")
    shutil.rmtree("cache1/manifest"), shutil.rmtree("cache1/failed")
    facts = json.loads(Path("cache1/cache.json").read_text()) | {"format_version": 1}
    seal_json(Path("cache1/cache.json"), json.dumps(facts).encode())
    write_corpora()
    write_home()


def write_corpora() -> None:
    """Official lists with a clip or two each."""

    def put(path: str, text: str = "") -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)

    for fold in range(1, 6):
        put(f"dfew/train(single-labeled)/set_{fold}.csv", "video_name,label\n99,1\n")
        put(f"dfew/test(single-labeled)/set_{fold}.csv", f"video_name,label\n{fold},{fold}\n{fold + 5},2\n")
        put(f"dfew/original/{fold}.mp4")
        put(f"mafw/single/no_caption/set_{fold}/train.txt", "09999.mp4 anger\n")
        put(f"mafw/single/no_caption/set_{fold}/test.txt", f"0000{fold}.mp4 fear\n")
        put(f"mafw/clips/0000{fold}.mp4")
    for split, number in (("train", 1), ("test", 2)):
        put(f"ferv39k/All_scenes/{split}_All.csv", f"Action/Happy/000{number} Happy\n")
        put(f"ferv39k/2_ClipsforFaceCrop/Action/Happy/000{number}.mp4")
    for short, place in (
        ("train", "train_splits"),
        ("dev", "dev_splits_complete"),
        ("test", "output_repeated_splits_test"),
    ):
        head = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID"
        put(f"meld/{short}_sent_emo.csv", f"{head}\n1,Oh no,Ross,sadness,negative,0,0\n2,Yes,Rachel,joy,positive,0,1\n")
        put(f"meld/{place}/dia0_utt0.mp4")
    put("ck/Emotion/S001/001/S001_001_00000014_emotion.txt", "   3.0000000e+00\n")
    put("ck/cohn-kanade-images/S001/001/S001_001_00000001.png")


def write_home() -> None:
    """A home folder with a remembered hash, a registration and a record."""
    from vjepa_fer.encoder.files.hashes import known_sha256

    Path("weights.pt").write_bytes(b"weights")
    os.utime("weights.pt", (1e9, 1e9))
    time.sleep(2.1)
    known_sha256("weights.pt")
    for name in ("models", "weights"):
        Path("home", name).mkdir(parents=True, exist_ok=True)
    Path("home/models/mine.toml").write_text(
        'like = "vjepa2-large-256"\nweights = "mine.pt"\nstate_key = "target_encoder"\n'
    )
    Path("home/weights/tiny.pt").write_bytes(b"weights")
    record = dict.fromkeys(("url", "sha256", "state_key", "licence", "fetched"), "x") | {"size": 7}
    Path("home/weights/tiny.pt.json").write_text(json.dumps(record))
