"""Which files are videos, and what is said of those that are not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from videos import encode, keep_start, run_ffmpeg, write_audio, write_video
from vjepa_fer.errors import VideoError
from vjepa_fer.video import count_packets, decode_video
from vjepa_fer.video.container import open_video

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f\nsize 327680\n"
)
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nclip.ts\n#EXT-X-ENDLIST\n"


def refused(path: Path) -> VideoError:
    """The error that both reading passes raise for this file."""
    with pytest.raises(VideoError) as caught:
        decode_video(path)
    assert str(path) in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "reason", "message"),
    [
        ("clip.mp4", b"", "empty", "0 bytes"),
        ("clip.flv", POINTER, "lfs_pointer", "Git LFS pointer.* 327,680 bytes.*git lfs pull"),
        ("clip.mp4", b"Dear colleague, attached are the videos\n" * 9, "not_video", "text, beginning 'Dear colleague"),
        ("notes.txt", b"Dear colleague, attached are the videos\n" * 9, "not_video", "text, beginning 'Dear colleague"),
        ("clip.mp4", b"<!DOCTYPE html><title>404</title>", "not_video", "text, beginning '<!DOCTYPE html"),
        ("clip.mp4", bytes(range(128, 256)) * 99, "not_video", "no format that holds video"),
        ("clip.mp4", bytes(9999), "not_video", "no format that holds video"),
        ("clip.flv", b"FLV\x01", "truncated", "begins like an FLV"),
        ("clip.mkv", b"\x1aE\xdf\xa3", "truncated", "begins like a Matroska"),
    ],
)
def test_a_file_that_is_no_video_is_refused_by_what_it_is(tmp_path, name, content, reason, message):
    path = tmp_path / name
    path.write_bytes(content)
    error = refused(path)
    assert error.reason == reason
    with pytest.raises(VideoError, match=message):
        raise error


@pytest.mark.parametrize("playlist", [PLAYLIST, b"ffconcat version 1.0\nfile clip.ts\n"])
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8"])
def test_a_playlist_is_not_followed_to_other_files(tmp_path, playlist, name):
    write_video(tmp_path / "clip.ts", codec="mpeg2video")
    (tmp_path / name).write_bytes(playlist)
    assert refused(tmp_path / name).reason == "not_video"


def test_a_missing_file_is_named(tmp_path):
    error = refused(tmp_path / "nobody.mp4")
    assert error.reason == "missing"
    assert "check the manifest" in error.message


def test_a_link_to_a_file_that_is_gone_is_missing(tmp_path):
    (tmp_path / "link.mp4").symlink_to(tmp_path / "gone.mp4")
    error = refused(tmp_path / "link.mp4")
    assert error.reason == "missing"
    assert "link to a file that is gone" in error.message


def test_a_folder_without_pictures_is_no_video(tmp_path):
    error = refused(tmp_path)
    assert error.reason == "not_video"
    assert "a folder without pictures (.jpg" in error.message
    with pytest.raises(VideoError, match="not a regular file but a folder: name the video itself"):
        count_packets(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a Unix thing")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refused(tmp_path / "pipe.mp4").reason == "unreadable"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root and Windows may read everything")
def test_a_file_without_permission_is_unreadable(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    path.chmod(0)
    assert refused(path).reason == "unreadable"


def test_a_disk_that_fails_is_unreadable_not_the_videos_fault(tmp_path, monkeypatch):
    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    path = write_video(tmp_path / "clip.mp4")
    monkeypatch.setattr("vjepa_fer.video.container.open_regular", fail)
    error = refused(path)
    assert (error.reason, error.message) == ("unreadable", "cannot be read: Permission denied")


def test_an_impossible_name_is_unreadable():
    assert refused(Path("clip\0.mp4")).reason == "unreadable"


def test_a_name_with_a_colon_is_a_file_and_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4").rename(tmp_path / "take:1.mp4")
    assert count_packets("take:1.mp4") == 30


def test_sound_alone_has_no_video_stream(tmp_path):
    error = refused(write_audio(tmp_path / "clip.mp4"))
    assert error.reason == "no_video_stream"
    assert "holds no video, only audio" in error.message


def test_an_albums_cover_is_no_video_stream(tmp_path):
    clip, sound = write_video(tmp_path / "clip.mp4"), write_audio(tmp_path / "sound.mp4")
    cover = tmp_path / "song.mp3"
    codecs = [
        "-frames:v",
        "1",
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "mjpeg",
        "-disposition:v",
        "attached_pic",
        "-c:a",
        "mp3",
    ]
    run_ffmpeg("-i", sound, "-i", clip, *codecs, cover)
    assert "only a cover picture, audio" in refused(cover).message


def test_an_mp4_cut_before_its_index_is_truncated(tmp_path):
    error = refused(keep_start(write_video(tmp_path / "clip.mp4", 60), 0.6))
    assert error.reason == "truncated"
    assert "begins like an MP4" in error.message


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.flv"])
def test_a_video_that_breaks_off_is_truncated(tmp_path, name, share):
    index_first = ["-movflags", "+faststart"] if name == "clip.mp4" else []
    path = encode("lavfi:testsrc2=d=3", tmp_path / name, *index_first)
    assert refused(keep_start(path, share)).reason == "truncated"


def test_a_break_is_described_by_where_it_is(tmp_path):
    path = write_video(tmp_path / "clip.mkv", 60)
    with pytest.raises(VideoError, match=r"ends at 1\.\d\d s of the 2\.00 s that its header declares"):
        decode_video(keep_start(path, 0.6))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.flv", "clip.mpg", "clip.ts", "clip.webm"])
def test_a_whole_video_of_any_container_is_counted_by_its_packets(tmp_path, name):
    assert count_packets(encode("lavfi:testsrc2=d=2:r=25", tmp_path / name, "-b:v", "500k")) == 50


def test_a_picture_that_stays_for_the_last_second_is_no_truncation(tmp_path):
    path = write_video(tmp_path / "slides.mkv", 4, seconds=[0, 1, 2, 3])
    assert count_packets(path) == 4


def test_sound_that_outlasts_the_picture_is_no_truncation(tmp_path):
    clip = write_video(tmp_path / "clip.mp4")
    longer = tmp_path / "longer.mp4"
    run_ffmpeg("-i", clip, "-f", "lavfi", "-t", "3", "-i", "sine", "-c:v", "copy", longer)
    assert count_packets(longer) == 30


def test_a_stream_without_a_declared_duration_is_read_to_its_end(tmp_path):
    path = encode("lavfi:testsrc2=d=2:r=25", tmp_path / "live.flv", "-flvflags", "no_duration_filesize")
    assert decode_video(path).num_frames == 50


def test_a_real_clip_in_cremads_format_is_whole_until_it_is_cut(tmp_path, crema_d_clip):
    assert decode_video(crema_d_clip).num_frames == 76
    path = keep_start(Path(shutil.copy(crema_d_clip, tmp_path)), 0.6)
    assert refused(path).reason == "truncated"


def test_the_file_is_closed_after_an_error(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    with pytest.raises(RuntimeError, match="mine"), open_video(path) as (container, _):
        raise RuntimeError("mine")
    with pytest.raises(AssertionError):
        list(container.demux())


def test_damaged_files_leave_the_terminal_alone(tmp_path):
    keep_start(encode("lavfi:testsrc2=d=3", tmp_path / "cut.mp4", "-movflags", "+faststart"), 0.6)
    code = "import sys, vjepa_fer.video as v\ntry: v.decode_video(sys.argv[1])\nexcept v.container.VideoError: pass"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "cut.mp4"], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
