# SPDX-License-Identifier: Apache-2.0
"""A folder that is called after the patient must not name the case."""

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from PerfusionSuiteLib.series.case_name import case_name, is_called_after_patient
from PerfusionSuiteLib.series.notes import Notes


@pytest.fixture
def dicom_file(tmp_path):
    def make(folder, **facts):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.PatientName, dataset.PatientID = "MUSTERMANN^ERIKA", "0012345"
        dataset.ImageComments = "long enough to be told from other files " * 4
        for name, value in facts.items():
            setattr(dataset, name, value)
        place = tmp_path / folder
        place.mkdir()
        pydicom.dcmwrite(place / "image", dataset, enforce_file_format=False)
        return place, place / "image"

    return make


@pytest.mark.parametrize("folder", ["Mustermann_Erika", "CTP-0012345", "MUSTERMANNERIKA", "erika"])
def test_names_and_numbers_of_the_patient_are_not_taken(dicom_file, folder):
    notes = Notes()
    assert case_name(*dicom_file(folder), notes) == "case"
    assert "called after the patient" in notes.decisions[0]
    assert "rika" not in notes.decisions[0].lower()


def test_other_names_are_taken_and_so_are_those_of_deidentified_scans(dicom_file):
    assert case_name(*dicom_file("study-7"), Notes()) == "study-7"
    assert case_name(*dicom_file("0012345", PatientIdentityRemoved="YES"), Notes()) == "0012345"


def test_a_file_is_called_by_its_stem(tmp_path):
    (tmp_path / "sub-01.nii.gz").write_bytes(b"")
    assert case_name(tmp_path / "sub-01.nii.gz", None, Notes()) == "sub-01"


def test_a_converted_file_that_is_called_after_the_patient_of_its_json_file_names_no_case(tmp_path):
    path = tmp_path / "Mustermann_CTP.nii.gz"
    path.write_bytes(b"")
    sidecar = tmp_path / "Mustermann_CTP.json"
    sidecar.write_text('{"PatientName": "MUSTERMANN^ERIKA", "PatientID": "0012345"}')
    notes = Notes()
    assert case_name(path, None, notes, path) == "case"
    assert "ustermann" not in notes.decisions[0]
    sidecar.write_text('{"PatientID": "sub-7"}')
    assert case_name(path, None, Notes(), path) == "Mustermann_CTP"


def test_a_link_is_called_by_its_own_name_and_not_by_that_of_the_folder_in_the_archive(dicom_file, tmp_path):
    place, file = dicom_file("Huber_Xaver")
    (tmp_path / "subject-7").symlink_to(place, target_is_directory=True)
    assert case_name(tmp_path / "subject-7", file, Notes()) == "subject-7"


def test_a_folder_is_judged_before_it_is_read(dicom_file):
    assert is_called_after_patient(dicom_file("Erika")[0])
    assert not is_called_after_patient(dicom_file("site-3")[0])
    assert not is_called_after_patient(dicom_file("Mustermann", PatientIdentityRemoved="YES")[0])


def test_a_damaged_sidecar_names_nobody_and_is_left_to_the_reader(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(b"")
    (tmp_path / "scan.json").write_text("{")
    assert not is_called_after_patient(tmp_path)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Xu^Bo", "xu_bo"),
        ("Li^Na", "2024 Li Na CTP"),
        ("Müller^Jürgen", "Mueller"),
        ("Mueller^Juergen", "Müller_CTP"),
        ("Müller^Jürgen", "Mu\u0308ller"),  # as macOS stores it
        ("MULLER^JURGEN", "Müller"),
        ("Sørensen^Åse", "sorensen"),
        ("Wang^XiaoDong=王^小東", "王小東"),
        ("Kim^Chulsoo=김^철수", "김철수"),
    ],
)
def test_names_are_found_however_they_are_spelled(dicom_file, name, folder):
    assert case_name(*dicom_file(folder, PatientName=name, SpecificCharacterSet="ISO_IR 192"), Notes()) == "case"


@pytest.mark.parametrize("folder", ["19500312", "1950-03-12", "born 12.03.1950"])
def test_the_date_of_birth_is_found_however_it_is_written(dicom_file, folder):
    assert case_name(*dicom_file(folder, PatientBirthDate="19500312"), Notes()) == "case"


@pytest.mark.parametrize("folder", ["CT", "mr-perfusion", "sub-01", "baseline scan of 2024"])
def test_short_words_that_are_no_names_stay(dicom_file, folder):
    assert case_name(*dicom_file(folder, PatientName="De Groot^Jan^^Dr", PatientID="01"), Notes()) == folder
