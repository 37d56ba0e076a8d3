/* LabelKeys.object in one pass, in a build whose hot path is compiled. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

static PyObject *
unlike_columns(void)
{
    PyErr_SetString(PyExc_ValueError, "Expected a list of numbers in JSON, one for each column.");
    return NULL;
}

/* How long the object is: braces, keys without the first one's comma, numbers without the commas between them. -1: error. */
static Py_ssize_t
length(Py_ssize_t n_text, const int64_t *starts, Py_ssize_t n_keys, const int64_t *columns, Py_ssize_t n,
       Py_ssize_t n_numbers)
{
    Py_ssize_t size = 2 - 1 + n_numbers - 2 - (n - 1);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (columns[i] < 0 || columns[i] >= n_keys) {
            PyErr_SetString(PyExc_IndexError, "Expected columns of labels; got one that has none.");
            return -1;
        }
        const int64_t start = starts[columns[i]], stop = starts[columns[i] + 1];
        if (start < 0 || stop <= start || stop > n_text) {
            PyErr_SetString(PyExc_ValueError, "Expected keys that stand in the text, none of them empty.");
            return -1;
        }
        size += stop - start;
    }
    return size;
}

static PyObject *
object_of(const Py_buffer *text, const Py_buffer *starts, const Py_buffer *columns, const Py_buffer *numbers)
{
    if (starts->itemsize != 8 || starts->len < 8 || columns->itemsize != 8) {
        PyErr_SetString(PyExc_ValueError, "Expected starts and columns of eight bytes each.");
        return NULL;
    }
    const int64_t *start = starts->buf, *column = columns->buf;
    const Py_ssize_t n = columns->len / 8;
    const char *number = numbers->buf, *end = number + numbers->len - 1;
    if (numbers->len < 2 || *number != '[' || *end != ']') {
        return unlike_columns();
    }
    number++;
    if (n == 0) {
        return number == end ? PyBytes_FromStringAndSize("{}", 2) : unlike_columns();
    }
    if (end - number < n) {
        return unlike_columns();
    }
    const Py_ssize_t size = length(text->len, start, starts->len / 8 - 1, column, n, numbers->len);
    PyObject *made = size < 0 ? NULL : PyBytes_FromStringAndSize(NULL, size);
    if (made == NULL) {
        return NULL;
    }
    /* Keys are not empty, so where a comma is missing there was room for the numbers up to there. */
    char *out = PyBytes_AS_STRING(made);
    for (Py_ssize_t i = 0; i < n; i++) {
        const char *comma = memchr(number, ',', end - number);
        if ((comma == NULL) != (i == n - 1)) {
            Py_DECREF(made);
            return unlike_columns();
        }
        const char *stop = comma == NULL ? end : comma;
        const Py_ssize_t n_key = start[column[i] + 1] - start[column[i]];
        memcpy(out, (const char *)text->buf + start[column[i]], n_key);
        if (i == 0) {
            /* In place of the comma of the first key. */
            *out = '{';
        }
        out += n_key;
        memcpy(out, number, stop - number);
        out += stop - number;
        number = stop + 1;
    }
    *out = '}';
    return made;
}

static PyObject *
joined(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer text, starts, columns, numbers;
    if (!PyArg_ParseTuple(args, "y*y*y*y*:joined", &text, &starts, &columns, &numbers)) {
        return NULL;
    }
    PyObject *made = object_of(&text, &starts, &columns, &numbers);
    PyBuffer_Release(&text);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&columns);
    PyBuffer_Release(&numbers);
    return made;
}

static PyMethodDef methods[] = {
    {"joined", joined, METH_VARARGS, "The text's keys of these columns and a number each, as a JSON object."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_label_keys",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit__label_keys(void)
{
    return PyModuleDef_Init(&definition);
}
