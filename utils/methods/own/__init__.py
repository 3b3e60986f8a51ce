"""A user's own FL methods: functions of a file, marked with a decorator (docs/definitions.md 7).

from utils.methods.own import fl_method

@fl_method("neuron", "loudest")
def loudest(evidence):
    return evidence.states.a[evidence.neg].max(axis=0)
"""

from utils.methods.own.call import MethodFailed as MethodFailed
from utils.methods.own.call import failures_in_words as failures_in_words
from utils.methods.own.load import load_methods as load_methods
from utils.methods.own.mark import fl_method as fl_method
from utils.methods.own.names import why_no_name as why_no_name
from utils.methods.own.option import add_option as add_option
from utils.methods.own.option import methods_of as methods_of
from utils.methods.own.option import why_edited as why_edited
